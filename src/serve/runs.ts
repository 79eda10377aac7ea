import type { Denoiser } from '../core/denoiser.ts';
import type { Tensor } from '../core/tensor.ts';
import { untilAborted } from '../core/untilAborted.ts';
import type { Step } from '../diffusion/sample.ts';
import type { Pipeline, SampleOptions } from '../pipeline.ts';
import type { Batcher } from './batcher.ts';
import { Gate } from './gate.ts';
import type { Limits } from './limits.ts';
import { Problem, unavailable } from './problem.ts';

/** A run that was begun: what ends it early, and how to say that it is over. */
interface Begun {
  readonly signal: AbortSignal;
  end(): void;
}

/** The runs of all requests: how many at a time, how long, and their end. */
export class Runs {
  readonly gate: Gate;
  readonly #pipeline: Pipeline;
  readonly #batcher: Batcher;
  readonly #limits: Limits;
  readonly #live = new Set<AbortController>();
  #closed: Promise<void> | undefined;
  #idle = () => {};

  constructor(pipeline: Pipeline, batcher: Batcher, limits: Limits) {
    this.#pipeline = pipeline;
    this.#batcher = batcher;
    this.#limits = limits;
    this.gate = new Gate({ images: limits.active, queue: limits.queue });
  }

  get closing(): boolean {
    return this.#closed !== undefined;
  }

  /**
   * Images to the end of their plan. Whoever is too late is told at once; what then still runs ends with its network call.
   *
   * @throws Problem 503 where there is no room, or no time; 499 where the client went away
   */
  async sample(options: SampleOptions, client: AbortSignal): Promise<Tensor> {
    const asked = (signal: AbortSignal) => this.#pipeline.sample({ ...options, signal });
    return this.#inPlace(options.count ?? 1, client, (signal) => this.#sharing(() => asked(signal)));
  }

  /**
   * One network call. What it is about is read once there is room for so many images: no more are ever held.
   *
   * @throws as `sample` does, and whatever `read` does
   */
  async denoise(
    images: number,
    client: AbortSignal,
    read: (signal: AbortSignal) => Promise<Parameters<Denoiser>>,
  ): Promise<Tensor> {
    return this.#inPlace(images, client, async (signal) => {
      const call = await read(signal);
      signal.throwIfAborted();
      return this.#sharing(async () => this.#batcher.denoiser(...call));
    });
  }

  /**
   * The same step by step. Between steps, while a client is slow to read, no other run waits for this one; where its time
   * is over, it gives up its place though nobody asks for the next.
   */
  async *steps(options: SampleOptions, client: AbortSignal): AsyncGenerator<Step, void, void> {
    const { signal, end } = this.#begin(client);
    try {
      const release = await this.gate.enter(options.count ?? 1, signal);
      const steps = this.#pipeline.steps({ ...options, signal });
      const stop = () => {
        void steps.return();
        release();
        end();
      };
      signal.addEventListener('abort', stop, { once: true });
      try {
        for (;;) {
          const leave = this.#batcher.enter();
          const { value, done } = await steps.next().finally(leave);
          signal.throwIfAborted();
          if (done) return;
          yield value;
        }
      } finally {
        stop();
      }
    } finally {
      end();
    }
  }

  /** Takes no more, and is done when all is answered; what is not after `ms` is told so. */
  close(ms: number): Promise<void> {
    this.#closed ??= this.#finish(ms);
    return this.#closed;
  }

  async #finish(ms: number): Promise<void> {
    if (this.#live.size === 0) return;
    const timer = setTimeout(() => {
      for (const run of this.#live) run.abort(closed());
    }, ms);
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
    clearTimeout(timer);
  }

  async #inPlace<T>(images: number, client: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal, end } = this.#begin(client);
    const worked = async () => {
      const release = await this.gate.enter(images, signal);
      return work(signal).finally(release);
    };
    return untilAborted(worked().finally(end), signal);
  }

  /** Work whose network calls others may wait for. */
  async #sharing<T>(work: () => Promise<T>): Promise<T> {
    const leave = this.#batcher.enter();
    return work().finally(leave);
  }

  #begin(client: AbortSignal): Begun {
    if (this.closing) throw closed();
    const run = new AbortController();
    const { seconds } = this.#limits;
    const overdue = () => run.abort(unavailable('overdue', `not done within ${seconds} seconds`, this.gate.retryAfter));
    const timer = setTimeout(overdue, seconds * 1000);
    // nobody hears the answer; it is for the log
    const leave = () => run.abort(new Problem(499, 'client-gone', 'the client went away'));
    if (client.aborted) leave();
    client.addEventListener('abort', leave, { once: true });
    this.#live.add(run);
    const end = () => {
      clearTimeout(timer);
      client.removeEventListener('abort', leave);
      this.#live.delete(run);
      if (this.#live.size === 0) this.#idle();
    };
    return { signal: run.signal, end };
  }
}

function closed(): Problem {
  return unavailable('closing', 'the server is about to stop', 5);
}
