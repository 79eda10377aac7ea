import { collectBytes } from '../core/collect.ts';
import { decodeQuestion, encodeAnswer, frameType, type Question, questionBytes } from '../core/denoiseFrame.ts';
import type { Denoiser } from '../core/denoiser.ts';
import { DdpmError, wrongKind, wrongValue } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import type { Pipeline } from '../pipeline.ts';
import { Problem } from './problem.ts';
import type { Service } from './samples.ts';

/** A network call for a client that runs the plan itself; it shares calls with the runs of all others. */
export async function answerDenoise(service: Service, request: Request): Promise<Response> {
  const { pipeline, runs } = service;
  const type = request.headers.get('content-type')?.split(';')[0].trim().toLowerCase();
  if (type !== frameType) throw new Problem(415, 'not-msgpack', `expected ${frameType}, got ${type ?? 'nothing'}`);
  const images = imagesWithin(request, service);
  const read = async (signal: AbortSignal) =>
    callOf(pipeline, images, decodeQuestion(await bytesOf(request, pipeline, images, signal)));
  const answer = await runs.denoise(images, request.signal, read);
  return new Response(encodeAnswer(answer), { headers: { 'content-type': frameType, 'cache-control': 'no-store' } });
}

/** The most images that a body can hold, by what it says of its length; a body that says nothing counts as the largest. */
function imagesWithin(request: Request, { pipeline, limits }: Service): number {
  const length = request.headers.get('content-length') ?? '';
  const most = questionBytes([limits.denoise, ...pipeline.model.shape]);
  if (!/^\d+$/.test(length) || request.headers.has('transfer-encoding')) return limits.denoise;
  if (Number(length) > most) throw tooLarge(most);
  const each = 4 * sizeOf(pipeline.model.shape);
  return Math.max(1, Math.min(limits.denoise, Math.floor(Number(length) / each)));
}

async function bytesOf(
  { body }: Request,
  { model }: Pipeline,
  images: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (!body) throw wrongValue('body', 'MessagePack', 'nothing');
  const maxBytes = questionBytes([images, ...model.shape]);
  try {
    return await collectBytes(body, { name: 'body', maxBytes, signal });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof DdpmError) throw tooLarge(maxBytes);
    // a client that breaks off
    throw new Problem(400, 'body-cut', 'expected a whole body');
  }
}

function tooLarge(maxBytes: number): Problem {
  return new Problem(413, 'body-too-large', `expected at most ${maxBytes} bytes`);
}

/** A call that the network can answer: others share it, and what fails would fail for all. */
function callOf({ model, schedule }: Pipeline, images: number, question: Question): Parameters<Denoiser> {
  const { x, timesteps, classLabels } = question;
  const [count, ...image] = x.shape;
  if (count > images) throw wrongValue('x.shape', `at most ${images} images`, count);
  if (image.some((n, i) => n !== model.shape[i]))
    throw wrongValue('x.shape', `[n, ${model.shape.join(', ')}]`, x.shape);
  if (timesteps.length !== count) throw wrongValue('timesteps', `${count} numbers`, timesteps.length);
  const { trainTimesteps, config } = schedule;
  // some networks look timesteps up in a table; those of log(sigma) have no bounds
  const isOutside = (t: number) => !(t >= 0 && t <= trainTimesteps - 1);
  const odd = timesteps.find(config.timestepType === 'continuous' ? (t) => !Number.isFinite(t) : isOutside);
  if (odd !== undefined) throw wrongValue('timesteps', `numbers in 0..${trainTimesteps - 1}`, odd);
  if (model.classes === 0) {
    if (classLabels) throw wrongValue('classLabels', 'none, as the model has no classes', classLabels);
    return [x, timesteps];
  }
  if (!classLabels) throw wrongKind('classLabels', 'a label for each image', classLabels);
  if (classLabels.length !== count) throw wrongValue('classLabels', `${count} labels`, classLabels.length);
  const bad = classLabels.find((label) => !(Number.isInteger(label) && label >= 0 && label < model.classes));
  if (bad !== undefined) throw wrongValue('classLabels', `integers in 0..${model.classes - 1}`, bad);
  return [x, timesteps, { classLabels }];
}
