import { unavailable } from './problem.ts';

/** How much goes on at the same time. */
export interface GateOptions {
  /** Images of all runs together; a run that alone has more waits until it is alone. */
  readonly images: number;
  /** Requests that wait; one more is told to come back later. */
  readonly queue: number;
}

interface Waiting {
  readonly images: number;
  admit(): void;
}

/** Lets runs in, first come first served, as long as there is room. */
export class Gate {
  readonly #options: GateOptions;
  readonly #waiting = new Set<Waiting>();
  #active = 0;
  /** Seconds that runs took of late: what the next answer of `retryAfter` goes by. */
  #seconds = 1;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Images of the runs that go on. */
  get active(): number {
    return this.#active;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Seconds until there may be room. */
  get retryAfter(): number {
    return Math.min(60, this.#seconds * (1 + this.#waiting.size / Math.max(1, this.#options.queue)));
  }

  /**
   * Waits for room, and returns what gives it back.
   *
   * @throws Problem 503 at once where too many wait; the signal's reason when it is aborted
   */
  async enter(images: number, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#waiting.size === 0 && this.#hasRoom(images)) return this.#admit(images);
    if (this.#waiting.size >= this.#options.queue)
      throw unavailable(
        'busy',
        `expected at most ${this.#options.queue} requests to wait, got one more`,
        this.retryAfter,
      );
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiting);
        reject(signal.reason);
        // what waited behind may fit
        this.#advance();
      };
      const admit = () => {
        signal.removeEventListener('abort', leave);
        resolve(this.#admit(images));
      };
      const waiting = { images, admit };
      this.#waiting.add(waiting);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #hasRoom(images: number): boolean {
    return this.#active === 0 || this.#active + images <= this.#options.images;
  }

  #admit(images: number): () => void {
    this.#active += images;
    const started = performance.now();
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#active -= images;
      this.#seconds += ((performance.now() - started) / 1000 - this.#seconds) / 8;
      this.#advance();
    };
  }

  #advance(): void {
    for (const waiting of this.#waiting) {
      if (!this.#hasRoom(waiting.images)) return;
      this.#waiting.delete(waiting);
      waiting.admit();
    }
  }
}
