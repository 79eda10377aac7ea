import { wrongValue } from '../core/errors.ts';
import type { Plan } from '../diffusion/plan.ts';
import type { Pipeline, SampleOptions } from '../pipeline.ts';
import { entityTag, matches } from './fingerprint.ts';
import { type About, assertPicture, encodeImages, mediaTypes } from './formats.ts';
import type { Limits } from './limits.ts';
import type { ServerMetrics } from './metrics.ts';
import type { requestSchemas, SamplesRequest, StreamRequest } from './request.ts';
import type { Runs } from './runs.ts';
import { eventStream, streamTypes } from './stream.ts';

/** All that the routes share. */
export interface Service {
  readonly pipeline: Pipeline;
  readonly limits: Limits;
  readonly schemas: ReturnType<typeof requestSchemas>;
  readonly runs: Runs;
  readonly metrics: ServerMetrics;
  fingerprint(): Promise<string>;
  /** Waits for a turn to encode pictures in. */
  turn(): Promise<void>;
  /** Whether answers are for the bearer of a token only. */
  readonly isPrivate: boolean;
}

/** Images, or that the client has them already: what decides their bytes is known before they are. */
export async function answerSamples(service: Service, request: Request, asked: SamplesRequest): Promise<Response> {
  const { pipeline, runs, metrics } = service;
  const { format = 'png', columns, scale } = asked;
  const { run, plan, about } = prepare(service, asked);
  const etag = await entityTag(await service.fingerprint(), asked);
  const headers = { etag, 'cache-control': `${service.isPrivate ? 'private' : 'public'}, max-age=31536000, immutable` };
  if (request.method !== 'POST' && matches(request.headers.get('if-none-match'), etag))
    return new Response(null, { status: 304, headers });
  const typed = { ...headers, 'content-type': mediaTypes[format] };
  if (request.method === 'HEAD') return new Response(null, { headers: typed });

  const images = await runs.sample(run, request.signal);
  await service.turn();
  metrics.images({ sampler: plan.sampler ?? 'given' }, images.shape[0]);
  const grid = { columns, scale };
  const body = await encodeImages(pipeline.engine, images, { format, grid, about: { ...about, shape: images.shape } });
  if (request.method !== 'POST') return new Response(body, { headers: typed });
  return new Response(body, { headers: { ...typed, 'cache-control': 'no-store' } });
}

/** The steps of images as they are made. */
export async function answerStream(service: Service, request: Request, asked: StreamRequest): Promise<Response> {
  const { pipeline, runs } = service;
  const { format = 'sse', columns, scale } = asked;
  const { run, plan, about } = prepare(service, asked);
  const { every = Math.ceil(plan.calls / 20) } = asked;
  const left = new AbortController();
  const cancel = () => left.abort();
  if (request.signal.aborted) cancel();
  request.signal.addEventListener('abort', cancel, { once: true });
  const steps = runs.steps(run, left.signal);
  const grid = { columns, scale };
  const body = eventStream(pipeline.engine, steps, { format, every, calls: plan.calls, grid, about, cancel });
  return new Response(body, { headers: { 'content-type': streamTypes[format], 'cache-control': 'no-store' } });
}

interface Prepared {
  readonly run: SampleOptions;
  readonly plan: Plan;
  /** What is said with the images. */
  readonly about: About;
}

/** What a request comes to, checked against the model and the limits before it takes a place. */
function prepare({ pipeline, limits }: Service, asked: SamplesRequest | StreamRequest): Prepared {
  const { seed = 0, count = 1, steps, sampler, eta, class: classes, guidance } = asked;
  assertPicture(pipeline.model.shape, { ...asked, count }, limits.pixels);
  const run = { seed: BigInt(seed), count, steps, sampler, eta, class: classes, guidance };
  const plan = pipeline.plan(run);
  if (plan.calls > limits.steps) throw wrongValue('steps', `at most ${limits.steps} network calls`, plan.calls);
  const about = { model: pipeline.model.name, seed: String(seed), count, sampler: plan.sampler, steps: plan.calls };
  return { run, plan, about };
}
