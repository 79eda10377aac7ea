import { availableParallelism } from 'node:os';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { DdpmError } from '../core/errors.ts';
import { type PlainError, packError, unpackError } from '../core/plainError.ts';
import type { Thread, ThreadMethods } from './types.ts';

interface Call {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: PlainError;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** @see Runtime.cores */
export function cores(): number {
  return availableParallelism();
}

/** @see Runtime.startThread */
export function startThread(module: URL, data: unknown): Thread {
  const worker = new Worker(module, { workerData: data });
  const waiting = new Map<number, Waiting>();
  let ended: DdpmError | undefined;
  let calls = 0;

  worker.on('message', ({ id, result, error }: Answer) => {
    const { resolve, reject } = waiting.get(id)!;
    waiting.delete(id);
    if (error) reject(unpackError(error));
    else resolve(result);
  });
  // an exit comes after every error, and may come without one
  worker.on('error', (error) => {
    ended ??= crashed((error as Error).message, error);
  });
  worker.on('exit', (code) => {
    ended ??= crashed(`it ended with ${code}`);
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  });

  return {
    get ended() {
      return ended !== undefined;
    },
    call<T>(method: string, argument: unknown): Promise<T> {
      if (ended) return Promise.reject(ended);
      return new Promise<T>((resolve, reject) => {
        waiting.set(++calls, { resolve: resolve as Waiting['resolve'], reject });
        worker.postMessage({ id: calls, method, argument } satisfies Call);
      });
    },
    async close() {
      ended ??= new DdpmError('cancelled', 'the thread was closed');
      await worker.terminate();
    },
  };
}

function crashed(reason: string, cause?: unknown): DdpmError {
  return new DdpmError('worker-crashed', `a thread crashed: ${reason}`, { cause });
}

/** @see Runtime.serveThread */
export function serveThread(start: (data: unknown) => Promise<ThreadMethods>): void {
  const port = parentPort!;
  // what cannot start says so in answer to the first call
  const started = start(workerData);
  started.catch(() => {});
  port.on('message', async ({ id, method, argument }: Call) => {
    try {
      const methods = await started;
      port.postMessage({ id, result: await methods[method](argument as never) } satisfies Answer);
    } catch (error) {
      port.postMessage({ id, error: packError(error) } satisfies Answer);
    }
  });
}
