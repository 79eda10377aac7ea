import { toJsonSchema } from '@valibot/to-json-schema';
import type { GenericSchema } from 'valibot';
import { frameType } from '../core/denoiseFrame.ts';
import type { Pipeline } from '../pipeline.ts';
import { mediaTypes } from './formats.ts';
import type { Limits } from './limits.ts';
import type { requestSchemas } from './request.ts';
import { streamTypes } from './stream.ts';

interface ObjectSchema {
  readonly properties: Readonly<Record<string, { readonly description?: string }>>;
}

/** The OpenAPI 3.1 document of a handler: what requests may say comes from the schemas that check them. */
export function openApi({ model }: Pipeline, { samples, stream }: ReturnType<typeof requestSchemas>, limits: Limits) {
  const body = jsonSchema(samples);
  const pictures = { description: 'The images.', headers: caching, content: contents(Object.values(mediaTypes)) };
  const notModified = { description: 'The client has these images already.' };
  return {
    openapi: '3.1.0',
    info: { title: `Images from ${model.name}`, version: '1', description: 'The same query gives the same bytes.' },
    paths: {
      '/v1/samples': {
        get: {
          summary: 'Sample images',
          operationId: 'getSamples',
          parameters: parameters(body),
          responses: { 200: pictures, 304: notModified, ...refusals },
        },
        post: {
          summary: 'Sample images',
          operationId: 'postSamples',
          requestBody: { required: true, content: { 'application/json': { schema: body } } },
          responses: { 200: pictures, ...refusals },
        },
      },
      '/v1/samples/stream': {
        get: {
          summary: 'Sample images, and show them on the way: events step, done and error',
          operationId: 'streamSamples',
          parameters: parameters(jsonSchema(stream)),
          responses: { 200: { description: 'The steps.', content: contents(Object.values(streamTypes)) }, ...refusals },
        },
      },
      ...(limits.denoise > 0 && { '/v1/denoise': { post: networkCall(model, limits) } }),
      '/v1/model': plain('The model, and the limits of requests', 'getModel', 'application/json'),
      '/healthz': plain('Whether the server runs', 'getHealth', 'application/json'),
      '/readyz': plain('Whether it takes requests for images', 'getReadiness', 'application/json'),
      '/metrics': plain('Counts in the text format of Prometheus', 'getMetrics', 'text/plain'),
      '/openapi.json': plain('This document', 'getDocument', 'application/json'),
    },
    components: { schemas: { Problem: problem } },
  };
}

const problem = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'One line that names the argument, what was expected and what came.' },
    code: { type: 'string' },
  },
} as const;

const caching = {
  ETag: { description: 'Equal where model and request are.', schema: { type: 'string' } },
} as const;

const refusals = Object.fromEntries(
  Object.entries({
    400: 'What is asked for cannot be.',
    401: 'The token is missing or wrong.',
    413: 'The body is too large.',
    415: 'The body is of another type.',
    429: 'Too many requests of one client: see Retry-After.',
    501: 'What this format needs is not installed.',
    503: 'No room, or no time: see Retry-After.',
  }).map(([status, description]) => [
    status,
    { description, content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } },
  ]),
);

/** One frame each way, as core/denoiseFrame.ts has them. */
function networkCall({ shape, classes }: Pipeline['model'], { denoise }: Limits) {
  const floats = (description: string) => ({ type: 'string', contentEncoding: 'binary', description });
  const tensor = (dims: string) => ({
    type: 'object',
    required: ['data', 'shape'],
    properties: {
      data: floats('float32, little-endian, in C order.'),
      shape: { type: 'array', items: { type: 'integer' }, minItems: 4, maxItems: 4, description: dims },
    },
  });
  const label = { type: 'integer', minimum: 0, maximum: classes - 1 };
  const labels = { type: 'array', items: label, description: 'One an image.' };
  const question = {
    type: 'object',
    required: ['x', 'timesteps', ...(classes > 0 ? ['classLabels'] : [])],
    properties: {
      x: tensor(`[n, ${shape.join(', ')}], n at most ${denoise}: the noisy images.`),
      timesteps: floats('n numbers, float32, little-endian.'),
      ...(classes > 0 && { classLabels: labels }),
    },
  };
  const prediction = tensor('That of x, or with twice as many channels where the network predicts the variance too.');
  return {
    summary: 'Ask the network: a MessagePack map each way, its numbers binary',
    operationId: 'denoise',
    requestBody: { required: true, content: { [frameType]: { schema: question } } },
    responses: {
      200: { description: 'Its prediction.', content: { [frameType]: { schema: prediction } } },
      ...refusals,
    },
  };
}

function plain(summary: string, operationId: string, type: string) {
  return { get: { summary, operationId, responses: { 200: { description: summary, content: contents([type]) } } } };
}

function contents(types: readonly string[]) {
  return Object.fromEntries(types.map((type) => [type, {}]));
}

function parameters({ properties }: ObjectSchema) {
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    description,
    // lists are separated by commas
    ...(name === 'class' && { style: 'form', explode: false }),
    schema,
  }));
}

function jsonSchema(schema: GenericSchema): ObjectSchema {
  const { $schema: _, ...rest } = toJsonSchema(schema, { target: 'draft-2020-12' });
  return rest as unknown as ObjectSchema;
}
