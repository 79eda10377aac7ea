import { assertInteger, assertOneOf } from '../core/assert.ts';
import type { ImageBatches } from '../core/dataset.ts';
import { DdpmError, wrongKind } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { untilAborted } from '../core/untilAborted.ts';
import type { Plan } from '../diffusion/plan.ts';
import type { Step } from '../diffusion/sample.ts';
import type { EvaluateOptions, Evaluation } from '../evaluate/types.ts';
import type { Model } from '../model/types.ts';
import type { InterpolateOptions, PipelineOptions, SampleOptions } from '../pipeline.ts';
import type { ConcreteDevice } from '../runtime/types.ts';
import { Connection, type Listener } from './connection.ts';
import type { Loaded, Method, Progress } from './messages.ts';
import { plain, plainEvaluation, plainOptions, portable } from './plain.ts';

export { drawImages } from './draw.ts';

/** How to run a pipeline in a worker. */
export interface WorkerOptions extends Omit<PipelineOptions, 'engine'> {
  /**
   * What becomes of requests while others are under way: `queue` (default) does them in order, `latest` gives up all
   * but the newest, which fail with `cancelled`.
   */
  readonly overlap?: 'queue' | 'latest';
  /** How many requests may be under way or wait before another fails with `busy`. Default 64. */
  readonly maxRequests?: number;
  /** Makes the worker, for bundlers that do not follow `new Worker(new URL(...))`: a module of dist/browser/worker.js. */
  readonly worker?: () => Worker;
}

/** What can be sampled in a worker: all that can be sent, which a guide, being a function, cannot. */
export type WorkerSampleOptions = Omit<SampleOptions, 'guide'>;

/** A pipeline in a worker: what `Pipeline` does, without a moment's stop of the page. Made by `loadWorkerPipeline`. */
export interface WorkerPipeline {
  /** What the model's folder says, and its sizes. */
  readonly model: Omit<Model, 'denoiser' | 'dispose'>;
  readonly device: ConcreteDevice;
  /** What was assumed, ignored or replaced while loading, and why this device; each one line. */
  readonly notes: readonly string[];
  /** The plan that `sample` would run. */
  plan(options?: WorkerSampleOptions): Promise<Omit<Plan, 'engine'>>;
  /** The images [count, channels, height, width], float32 in about [-1, 1]. */
  sample(options?: WorkerSampleOptions): Promise<Tensor>;
  /** The same, step by step; x and start are copies to keep. The worker is at most two steps ahead. */
  steps(options?: WorkerSampleOptions): AsyncGenerator<Step, void, void>;
  /** As `Pipeline.invert`. */
  invert(images: Tensor, options?: WorkerSampleOptions): Promise<Tensor>;
  /** As `Pipeline.reconstruct`. */
  reconstruct(latents: Tensor, options?: WorkerSampleOptions): Promise<Tensor>;
  /** As `Pipeline.interpolate`. */
  interpolate(options: Omit<InterpolateOptions, 'guide'>): Promise<Tensor>;
  /** As `Pipeline.evaluate`. Images are sent before the first is measured: as many as `count` says are in memory at once. */
  evaluate(images: ImageBatches, options?: EvaluateOptions): Promise<Evaluation>;
  /** The same, batch by batch: what was found so far, and at last all of it. The worker hears a cancel between batches. */
  evaluations(images: ImageBatches, options?: EvaluateOptions): AsyncGenerator<Evaluation, void, void>;
  /** Gives up whatever is under way or waits: it fails with `cancelled` at once, and the worker stops at its next step. */
  cancel(): void;
  /** Ends the worker, which frees the network. */
  dispose(): Promise<void>;
}

/**
 * Loads a model in a worker of its own: takes what `loadPipeline` takes, streams apart, which can be read but once.
 *
 * A worker that crashes fails what it was asked with `worker-crashed`, and so does one that is out of memory, with
 * `out-of-memory`; the next call starts a fresh one and loads the model again.
 *
 * @throws DdpmError as `loadPipeline` does, or `worker-crashed`.
 * @example
 * const pipeline = await loadWorkerPipeline('/models/fashion', { overlap: 'latest' });
 * slider.oninput = async () => show(await pipeline.sample({ seed: slider.valueAsNumber }));
 */
export async function loadWorkerPipeline(
  source: string | URL | Uint8Array,
  options: WorkerOptions = {},
): Promise<WorkerPipeline> {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { overlap = 'queue', maxRequests = 64 } = options;
  assertOneOf(overlap, 'overlap', ['queue', 'latest']);
  assertInteger(maxRequests, 'maxRequests', 1, 1_000_000);
  const client = new Client(source, { ...options, overlap, maxRequests });
  await client.load(options.signal);
  return client;
}

class Client implements WorkerPipeline {
  readonly #source: string | Uint8Array;
  readonly #options: WorkerOptions;
  /** What cancels each request. */
  readonly #jobs = new Set<AbortController>();
  #connection: Connection | undefined;
  #ready: Promise<void> | undefined;
  #loaded!: Loaded;
  #disposed = false;

  constructor(source: string | URL | Uint8Array, options: WorkerOptions) {
    this.#source = portable(source);
    this.#options = options;
  }

  get model() {
    return this.#loaded.model;
  }

  get device() {
    return this.#loaded.model.device;
  }

  get notes() {
    return this.#loaded.notes;
  }

  /** Starts a worker and loads the model. */
  async load(signal: AbortSignal = new AbortController().signal): Promise<void> {
    const connection = new Connection(this.#options.worker?.() ?? newWorker());
    this.#connection = connection;
    try {
      const { onProgress } = this.#options;
      const request = { kind: 'load', source: this.#source, options: plainOptions(this.#options) } as const;
      this.#loaded = (await connection.request(request, { onProgress }, signal).answer) as Loaded;
    } catch (error) {
      connection.close(new DdpmError('cancelled', 'the model was not loaded'));
      throw error;
    }
  }

  async plan(options: WorkerSampleOptions = {}) {
    return this.#run('plan', [plain(options)], options) as Promise<Omit<Plan, 'engine'>>;
  }

  async sample(options: WorkerSampleOptions = {}) {
    return this.#run('sample', [plain(options)], options) as Promise<Tensor>;
  }

  async invert(images: Tensor, options: WorkerSampleOptions = {}) {
    return this.#run('invert', [images, plain(options)], options) as Promise<Tensor>;
  }

  async reconstruct(latents: Tensor, options: WorkerSampleOptions = {}) {
    return this.#run('reconstruct', [latents, plain(options)], options) as Promise<Tensor>;
  }

  async interpolate(options: Omit<InterpolateOptions, 'guide'>) {
    return this.#run('interpolate', [plain(options)], options) as Promise<Tensor>;
  }

  async *steps(options: WorkerSampleOptions = {}) {
    yield* this.#progress<Step>('steps', async () => [plain(options)], options);
  }

  async evaluate(images: ImageBatches, options: EvaluateOptions = {}): Promise<Evaluation> {
    let found: Evaluation | undefined;
    for await (const evaluation of this.evaluations(images, options)) found = evaluation;
    return found!;
  }

  async *evaluations(images: ImageBatches, options: EvaluateOptions = {}) {
    yield* this.#progress<Evaluation>('evaluations', () => plainEvaluation(images, options), options);
  }

  cancel(): void {
    this.#giveUp('cancelled');
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#giveUp('the pipeline was disposed of');
    this.#connection?.close(new DdpmError('cancelled', 'the pipeline was disposed of'));
  }

  /** Asks for what comes piece by piece. */
  async *#progress<T extends Progress>(
    method: Method,
    args: () => Promise<unknown[]>,
    options: { readonly signal?: AbortSignal },
  ): AsyncGenerator<T, void, void> {
    const job = this.#job(options);
    try {
      const arrived: T[] = [];
      let wake = () => {};
      const onStep = (step: Progress) => {
        arrived.push(step as T);
        wake();
      };
      const { answer, more } = await this.#ask(method, await args(), { job, onStep });
      let ended = false;
      const end = answer.finally(() => {
        ended = true;
        wake();
      });
      end.catch(() => undefined); // awaited below, when the steps that came before are drawn
      while (true) {
        const step = arrived.shift();
        if (step) {
          job.signal.throwIfAborted();
          yield step;
          if (!ended) more();
        } else if (ended) break;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
      await end;
    } finally {
      this.#end(job);
    }
  }

  async #run(method: Method, args: unknown[], options: { readonly signal?: AbortSignal }): Promise<unknown> {
    const job = this.#job(options);
    try {
      return await (await this.#ask(method, args, { job })).answer;
    } finally {
      this.#end(job);
    }
  }

  /** Counts a request in, by the policy for those that overlap. */
  #job(options: { readonly signal?: AbortSignal }): AbortController {
    if (this.#disposed) throw new DdpmError('cancelled', 'the pipeline was disposed of');
    const signal = options?.signal; // options of a wrong kind are refused where they are read
    signal?.throwIfAborted();
    const { overlap, maxRequests } = this.#options;
    if (overlap === 'latest') this.#giveUp('given up for a newer request');
    if (this.#jobs.size >= maxRequests!)
      throw new DdpmError('busy', `${this.#jobs.size} requests are under way or wait already`);
    const job = new AbortController();
    const stop = () => job.abort(signal!.reason);
    signal?.addEventListener('abort', stop, { once: true });
    job.signal.addEventListener('abort', () => signal?.removeEventListener('abort', stop), { once: true });
    this.#jobs.add(job);
    return job;
  }

  async #ask(method: Method, args: unknown[], { job, ...listener }: Listener & { readonly job: AbortController }) {
    // a worker that has ended gives way to a fresh one
    if (!this.#connection!.open) this.#ready = this.load();
    if (this.#ready) await untilAborted(this.#ready, job.signal);
    return this.#connection!.request({ kind: 'run', method, args }, listener, job.signal);
  }

  #end(job: AbortController): void {
    job.abort(); // lets go of the caller's signal; of no other effect on what is done
    this.#jobs.delete(job);
  }

  #giveUp(reason: string): void {
    for (const job of this.#jobs) job.abort(new DdpmError('cancelled', reason));
    this.#jobs.clear();
  }
}

// bundlers look for just this expression
function newWorker(): Worker {
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
}
