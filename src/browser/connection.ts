import { DdpmError } from '../core/errors.ts';
import { unpackError } from '../core/plainError.ts';
import type { DownloadProgress } from '../runtime/types.ts';
import type { Answer, Progress, Request } from './messages.ts';

/** What is done with answers that come before the last. */
export interface Listener {
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly onStep?: (step: Progress) => void;
}

interface Pending extends Listener {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never;

/** The line to one worker: requests and their answers, until it ends. */
export class Connection {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #watch = new AbortController();
  #id = 0;
  #open = true;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<Answer>) => this.#receive(data));
    worker.addEventListener('error', (event) => {
      event.preventDefault(); // it is reported by the requests that fail
      this.#crash(event.message || 'its script cannot be loaded');
    });
    worker.addEventListener('messageerror', () => this.#crash('a message that cannot be read'));
  }

  /** Whether the worker lives. */
  get open(): boolean {
    return this.#open;
  }

  /** Asks the worker; an aborted signal rejects at once with its reason, and the worker stops at its next step. */
  request(request: Unnumbered<Request & { kind: 'load' | 'run' }>, listener: Listener, signal: AbortSignal) {
    const id = ++this.#id;
    const answer = new Promise<unknown>((resolve, reject) => {
      const stop = () => {
        this.#pending.delete(id);
        if (this.#open) this.#post({ kind: 'cancel', id });
        reject(signal.reason);
      };
      const settle =
        <T>(how: (value: T) => void) =>
        (value: T) => {
          signal.removeEventListener('abort', stop);
          how(value);
        };
      signal.throwIfAborted();
      this.#post({ ...request, id } as Request);
      signal.addEventListener('abort', stop, { once: true });
      this.#pending.set(id, { ...listener, resolve: settle(resolve), reject: settle(reject) });
    });
    return { answer, more: () => this.#post({ kind: 'more', id }) };
  }

  /** Ends the worker, and what it was asked with an error. */
  close(error: DdpmError): void {
    this.#open = false;
    this.#watch.abort();
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #post(request: Request): void {
    this.#worker.postMessage(request);
  }

  #receive(answer: Answer): void {
    const pending = 'id' in answer ? this.#pending.get(answer.id) : undefined; // none when cancelled
    if (answer.kind === 'alive') this.#watchLock(answer.lock);
    else if (answer.kind === 'progress') pending?.onProgress?.(answer.progress);
    else if (answer.kind === 'step') pending?.onStep?.(answer.step);
    else this.#settle(answer, pending);
  }

  #settle(answer: Answer & { kind: 'done' | 'failed' }, pending: Pending | undefined): void {
    this.#pending.delete(answer.id);
    if (answer.kind === 'done') pending?.resolve(answer.value);
    else {
      const error = unpackError(answer.error);
      pending?.reject(error);
      // WebAssembly memory never shrinks, and a network that ran out of it is of no more use
      if (error instanceof DdpmError && error.code === 'out-of-memory') this.close(error);
    }
  }

  /** The worker's lock comes to us only when it has ended. */
  #watchLock(lock: string): void {
    navigator.locks
      .request(lock, { signal: this.#watch.signal }, () => this.#crash('it ended by itself'))
      .catch(() => undefined); // closed
  }

  #crash(reason: string): void {
    if (this.#open) this.close(new DdpmError('worker-crashed', `the worker crashed: ${reason}`));
  }
}
