import { DdpmError } from '../core/errors.ts';
import type { OpenFile } from '../runtime/types.ts';
import { invalid } from './source.ts';

// large enough that opening the file for each is nothing, small enough to hold a few
const pieceBytes = 2 ** 18;

/** Reads a file in order, in amounts of the reader's choice; holds no more than such an amount and a piece. */
export class ByteStream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #name: string;
  #piece: Uint8Array = new Uint8Array();
  #position = 0;

  private constructor(stream: ReadableStream<Uint8Array>, name: string) {
    this.#reader = stream.getReader();
    this.#name = name;
  }

  /** Reads from byte `begin` of what the file holds, unpacked. */
  static async open(file: OpenFile, name: string, { begin, gzipped }: { begin: number; gzipped: boolean }) {
    if (!gzipped) return new ByteStream(piecesOf(file, begin), name);
    const stream = new ByteStream(gunzip(piecesOf(file, 0)), name);
    try {
      await stream.#skip(begin);
      return stream;
    } catch (error) {
      await stream.close();
      throw error;
    }
  }

  /** The next bytes: `length`, or fewer at the end. They may be a view of what is read. */
  async upTo(length: number): Promise<Uint8Array> {
    if (this.#piece.length >= length) return this.#take(length);
    const parts = [this.#take(this.#piece.length)];
    let missing = length - parts[0].length;
    while (missing > 0 && (await this.#fill())) {
      parts.push(this.#take(Math.min(missing, this.#piece.length)));
      missing -= parts[parts.length - 1].length;
    }
    return joined(parts);
  }

  /** The next `length` bytes. @throws DdpmError `dataset-invalid` if there are fewer. */
  async exactly(length: number): Promise<Uint8Array> {
    const bytes = await this.upTo(length);
    if (bytes.length < length)
      throw invalid(this.#name, `${length} more bytes at byte ${this.#position - bytes.length}`, `${bytes.length}`);
    return bytes;
  }

  /** Throws unless everything has been read: what was read before is then known to be whole. */
  async assertEnd(): Promise<void> {
    const rest = await this.upTo(1);
    if (rest.length > 0) throw invalid(this.#name, `an end after ${this.#position - 1} bytes`, 'more');
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }

  #take(length: number): Uint8Array {
    const bytes = this.#piece.subarray(0, length);
    this.#piece = this.#piece.subarray(length);
    this.#position += length;
    return bytes;
  }

  async #skip(length: number): Promise<void> {
    let missing = length;
    while (missing > 0 && (this.#piece.length > 0 || (await this.#fill())))
      missing -= this.#take(Math.min(missing, this.#piece.length)).length;
    if (missing > 0) throw invalid(this.#name, `at least ${this.#position + missing} bytes`, this.#position);
  }

  async #fill(): Promise<boolean> {
    try {
      const { value } = await this.#reader.read();
      this.#piece = value ?? new Uint8Array();
      return value !== undefined;
    } catch (error) {
      if (error instanceof DdpmError) throw error;
      const reason = (error as Error).message;
      const message = `${this.#name}: the gzip data is cut short or damaged after ${this.#position} unpacked bytes: ${reason}`;
      throw new DdpmError('dataset-invalid', message, { cause: error });
    }
  }
}

function piecesOf(file: OpenFile, begin: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = begin;
  return new ReadableStream(
    {
      async pull(controller) {
        const piece = await file.read(at, at + pieceBytes);
        at += piece.length;
        if (piece.length > 0) controller.enqueue(piece);
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

// pipeThrough would do, but Node 20 then takes in the whole file at once: waiting for each write holds it back
function gunzip(pieces: ReadableStream<Uint8Array<ArrayBuffer>>): ReadableStream<Uint8Array> {
  const { readable, writable } = new DecompressionStream('gzip');
  const reader = pieces.getReader();
  const writer = writable.getWriter();
  const feed = async () => {
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) await writer.write(next.value);
      await writer.close();
    } catch (error) {
      // of the file: the other end sees it too; of the other end: it is cancelled or knows
      await Promise.allSettled([writer.abort(error), reader.cancel(error)]);
    }
  };
  writer.closed.catch(() => undefined);
  void feed();
  return readable;
}

/** The bytes of all parts, one after the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
