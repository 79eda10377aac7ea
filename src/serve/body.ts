import { collectBytes } from '../core/collect.ts';
import { DdpmError } from '../core/errors.ts';
import { Problem } from './problem.ts';

/** The media type that a request says it has, without parameters. */
export function typeOf({ headers }: Request): string | undefined {
  return headers.get('content-type')?.split(';')[0].trim().toLowerCase();
}

/** How long a request says its body is; undefined where it does not, or says it in a way that cannot be believed. */
export function lengthOf({ headers }: Request): number | undefined {
  const length = headers.get('content-length') ?? '';
  return /^\d+$/.test(length) && !headers.has('transfer-encoding') ? Number(length) : undefined;
}

/**
 * The bytes of a body. Not by hono's bodyLimit, which makes a new Request of each whose length is not said: those of
 * @hono/node-server cannot be.
 *
 * @throws Problem 413 beyond `maxBytes`, before anything is read where that is said; 400 where the client breaks off
 */
export async function readBody(request: Request, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
  if ((lengthOf(request) ?? 0) > maxBytes) throw tooLarge(maxBytes);
  if (!request.body) return new Uint8Array();
  try {
    return await collectBytes(request.body, { name: 'body', maxBytes, signal });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof DdpmError) throw tooLarge(maxBytes);
    throw new Problem(400, 'body-cut', 'expected a whole body');
  }
}

// what a client takes to send a body, unless it means to take long
const patience = 1000;

/** Reads a body that nobody wants: where a server closes a connection on what was not read, its answer is lost, too. */
export async function discardBody({ body }: Request): Promise<void> {
  await body?.pipeTo(new WritableStream(), { signal: AbortSignal.timeout(patience) }).catch(() => undefined);
}

function tooLarge(maxBytes: number): Problem {
  return new Problem(413, 'body-too-large', `expected at most ${maxBytes} bytes`);
}
