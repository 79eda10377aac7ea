import { assertInteger, assertOneOf } from '../core/assert.ts';
import { DdpmError, wrongKind, wrongValue } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { untilAborted } from '../core/untilAborted.ts';
import type { Plan } from '../diffusion/plan.ts';
import type { Step } from '../diffusion/sample.ts';
import type { Model } from '../model/types.ts';
import type { InterpolateOptions, PipelineOptions, SampleOptions } from '../pipeline.ts';
import { isModelName } from '../runtime/http.ts';
import type { ConcreteDevice } from '../runtime/types.ts';
import { Connection, type Listener } from './connection.ts';
import type { Loaded, Method, PlainOptions } from './messages.ts';

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

  async *steps(options: WorkerSampleOptions = {}): AsyncGenerator<Step, void, void> {
    const job = this.#job(options);
    try {
      const arrived: Step[] = [];
      let wake = () => {};
      const onStep = (step: Step) => {
        arrived.push(step);
        wake();
      };
      const { answer, more } = await this.#ask('steps', [plain(options)], { job, onStep });
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

  cancel(): void {
    this.#giveUp('cancelled');
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#giveUp('the pipeline was disposed of');
    this.#connection?.close(new DdpmError('cancelled', 'the pipeline was disposed of'));
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
  #job({ signal }: { readonly signal?: AbortSignal }): AbortController {
    if (this.#disposed) throw new DdpmError('cancelled', 'the pipeline was disposed of');
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

/** A source as the worker, which is elsewhere, finds it. */
function portable(source: string | URL | Uint8Array): string | Uint8Array {
  if (source instanceof URL) return source.href;
  if (typeof source !== 'string' || isModelName(source)) return source;
  if (!URL.canParse(source, document.baseURI)) throw wrongValue('source', 'a URL or a bundled name', source);
  return new URL(source, document.baseURI).href;
}

function plainOptions(options: WorkerOptions): PlainOptions {
  const { device, threads, batch, size, maxBytes, scheduler, cache, wasmPaths, lora = [] } = options;
  return {
    ...{ device, threads, batch, size, maxBytes, scheduler, cache },
    wasmPaths: wasmPaths && new URL(wasmPaths, document.baseURI).href,
    lora: [lora].flat().map((one) => {
      return typeof one === 'object' && 'source' in one ? { ...one, source: portable(one.source) } : portable(one);
    }),
  };
}

/** Options without what cannot be sent. */
function plain(options: object): object {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { signal: _, guide, ...others } = options as SampleOptions;
  if (guide !== undefined) throw wrongValue('guide', 'none, as functions cannot be sent to a worker', guide);
  return others;
}
