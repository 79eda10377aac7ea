import { DdpmError, wrongKind } from './errors.ts';
import { untilAborted } from './untilAborted.ts';

/** Bytes as they arrive, such as the body of a Response. */
export type ByteSource = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/** What is known of a stream before it is read. */
export interface CollectOptions {
  /** What messages call it. */
  readonly name: string;
  /** The most bytes to accept. */
  readonly maxBytes: number;
  /** How many bytes are said to come; what really comes is counted. */
  readonly expectedBytes?: number;
  /** Told how many bytes have come, as they come. */
  readonly onBytes?: (loaded: number) => void;
  /** Ends the wait for more, too. */
  readonly signal?: AbortSignal;
}

/**
 * All bytes of a stream, which is cancelled where this fails. What it allocates never goes beyond twice what has come,
 * whatever is said to come; where that is right, the last allocation is the bytes themselves.
 *
 * @throws DdpmError `model-invalid` beyond `maxBytes`
 */
export async function collectBytes(source: ByteSource, options: CollectOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { name, maxBytes, expectedBytes = 0, onBytes, signal } = options;
  const parts = iteratorOf(source);
  let bytes = new Uint8Array(0);
  let size = 0;
  try {
    for (;;) {
      const { value: part, done } = await untilAborted(parts.next(), signal);
      if (done) return size === bytes.length ? bytes : bytes.slice(0, size);
      if (!(part instanceof Uint8Array)) throw wrongKind('source', 'a stream of bytes', part);
      if (size + part.length > maxBytes) throw new DdpmError('model-invalid', `${name}: larger than ${maxBytes} bytes`);
      bytes = withRoom(bytes, size, part.length, expectedBytes);
      bytes.set(part, size);
      size += part.length;
      onBytes?.(size);
    }
  } finally {
    // not waited for: what is stuck in a read answers only after it
    parts.return?.().catch(() => undefined);
  }
}

// not every browser can iterate a stream
function iteratorOf(source: ByteSource): AsyncIterator<Uint8Array> {
  if (!('getReader' in source)) return source[Symbol.asyncIterator]();
  const reader = source.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<Uint8Array>>,
    return: async () => ({ done: true, value: await reader.cancel() }),
  };
}

function withRoom(bytes: Uint8Array<ArrayBuffer>, size: number, more: number, expected: number) {
  const needed = size + more;
  if (needed <= bytes.length) return bytes;
  const grown = new Uint8Array(expected >= needed ? Math.min(expected, 2 * needed) : 2 * needed);
  grown.set(bytes.subarray(0, size));
  return grown;
}
