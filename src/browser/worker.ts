// The worker: one pipeline, its runs one after another. client.ts is the other end.
import type { ImageBatch } from '../core/dataset.ts';
import { packError } from '../core/plainError.ts';
import type { Tensor } from '../core/tensor.ts';
import type { EvaluateOptions } from '../evaluate/types.ts';
import { type InterpolateOptions, loadPipeline, type Pipeline, type SampleOptions } from '../pipeline.ts';
import { type Answer, type Loaded, type Method, type Progress, type Request, stepsAhead } from './messages.ts';

/** A request under way or waiting. */
interface Job {
  readonly id: number;
  readonly cancel: AbortController;
  /** How many more steps the client has room for. */
  room: number;
  /** Goes on with a job that waits for room. */
  wake?: () => void;
}

const jobs = new Map<number, Job>();
let pipeline: Pipeline | undefined;
let last: Promise<unknown> = Promise.resolve();

self.addEventListener('message', ({ data }: MessageEvent<Request>) => receive(data));
holdLock();

function receive(request: Request): void {
  const job = jobs.get(request.id);
  if (request.kind === 'more' && job) job.room++;
  else if (request.kind === 'cancel') job?.cancel.abort();
  else if (request.kind === 'load') start(request.id, (job) => load(request, job));
  else if (request.kind === 'run') start(request.id, (job) => run(request, job));
  job?.wake?.();
}

/** Does work in its turn, and answers. */
function start(id: number, work: (job: Job) => Promise<{ value: unknown; transfer?: Transferable[] }>): void {
  const job: Job = { id, cancel: new AbortController(), room: stepsAhead };
  jobs.set(id, job);
  last = last
    .then(() => {
      job.cancel.signal.throwIfAborted();
      return work(job);
    })
    .then(
      ({ value, transfer }) => post({ kind: 'done', id, value }, transfer),
      (error) => post({ kind: 'failed', id, error: packError(error) }),
    )
    .finally(() => jobs.delete(id));
}

async function load({ source, options }: Request & { kind: 'load' }, { id, cancel }: Job): Promise<{ value: Loaded }> {
  pipeline = await loadPipeline(source, {
    ...options,
    signal: cancel.signal,
    onProgress: (progress) => post({ kind: 'progress', id, progress }),
  });
  const { denoiser: _, dispose: __, ...model } = pipeline.model;
  return { value: { model, notes: pipeline.notes } };
}

async function run({ method, args }: Request & { kind: 'run' }, job: Job) {
  if (!pipeline) throw new Error('a model is loaded first');
  const { signal } = job.cancel;
  if (method === 'evaluations') {
    const [images, options] = args as [ImageBatch[], EvaluateOptions];
    for await (const found of pipeline.evaluations(images, { ...options, signal })) await send(found, job);
    return { value: undefined };
  }
  const options = await sampleOptions(pipeline, method, args);
  if (method === 'plan') {
    const { engine: _, ...plan } = pipeline.plan(options);
    return { value: plan };
  }
  const asked = { ...options, signal };
  if (method === 'steps') {
    for await (const step of pipeline.steps(asked)) {
      const [x, start] = [copyOf(step.x), copyOf(step.start)];
      await send({ ...step, x, start }, job, [x.data.buffer, start.data.buffer]);
    }
    return { value: undefined };
  }
  const value = copyOf(await (pipeline.device === 'wasm' ? breathing(pipeline, asked) : pipeline.sample(asked)));
  return { value, transfer: [value.data.buffer] };
}

/** What `sample` does, with a breath at each step. */
async function breathing(pipeline: Pipeline, options: SampleOptions): Promise<Tensor> {
  let images: Tensor | undefined;
  for await (const { x } of pipeline.steps(options)) {
    images = x;
    await breathe();
  }
  return images!;
}

/** What `steps` is asked for to do what each method does. */
async function sampleOptions(
  { model, engine }: Pipeline,
  method: Method,
  [first, options]: readonly unknown[],
): Promise<SampleOptions> {
  if (method === 'sample' || method === 'steps' || method === 'plan') return first as SampleOptions;
  const { interpolationOptions, inversionOptions, reconstructionOptions } = await import('../sampling/latents.ts');
  if (method === 'interpolate') return interpolationOptions(engine, model, first as InterpolateOptions);
  const optionsOf = method === 'invert' ? inversionOptions : reconstructionOptions;
  return optionsOf(model, first as Tensor, options as SampleOptions);
}

/** Sends a step, and waits until the client has room for the next. */
async function send(step: Progress, job: Job, transfer: Transferable[] = []): Promise<void> {
  post({ kind: 'step', id: job.id, step }, transfer);
  job.room--;
  await breathe();
  while (job.room <= 0 && !job.cancel.signal.aborted)
    await new Promise<void>((resolve) => {
      job.wake = resolve;
    });
}

// a network on wasm, unlike one on a GPU, never leaves the microtasks, so that messages (a cancel, say) are heard only where it is interrupted
const channel = new MessageChannel();

function breathe(): Promise<void> {
  return new Promise((resolve) => {
    channel.port1.onmessage = () => resolve();
    channel.port2.postMessage(undefined);
  });
}

function copyOf({ data, shape }: Tensor): { data: Float32Array<ArrayBuffer>; shape: readonly number[] } {
  return { data: new Float32Array(data), shape };
}

function post(answer: Answer, transfer: Transferable[] = []): void {
  self.postMessage(answer, { transfer });
}

/** A lock is given back when its holder ends in whatever way: no event tells a page of that. */
function holdLock(): void {
  if (!navigator.locks) return; // pages without TLS have none
  const lock = `ddpm-wasm ${crypto.randomUUID()}`;
  void navigator.locks.request(lock, () => {
    post({ kind: 'alive', lock });
    return new Promise(() => {});
  });
}
