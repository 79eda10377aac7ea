import { openFile } from '#runtime';
import { showPlace } from '../runtime/http.ts';
import type { OpenFile } from '../runtime/types.ts';
import { ByteStream } from './byteStream.ts';
import { ofDataset } from './source.ts';

/** A file of a dataset; what is gzipped is read unpacked. */
export interface DataFile {
  /** What messages call it. */
  readonly name: string;
  readonly gzipped: boolean;
  /** Its length, if that is known without unpacking it. */
  readonly size?: number;
  /** The file as it is stored. */
  readonly stored: OpenFile;
  /** Its bytes from `begin` on, in order. */
  open(begin: number): Promise<ByteStream>;
  /** Its first bytes: `length`, or fewer if there are no more. */
  head(length: number): Promise<Uint8Array>;
}

/** A file by its place, or undefined if there is none. */
export async function findFile(place: string | URL, signal?: AbortSignal): Promise<DataFile | undefined> {
  const found = await ofDataset(() => openFile(place, { signal }));
  if (!found) return undefined;
  const stored = {
    size: found.size,
    read: (begin: number, end: number) => {
      signal?.throwIfAborted();
      return ofDataset(() => found.read(begin, end));
    },
  };
  const name = showPlace(place);
  const [first, second] = await stored.read(0, 2);
  const gzipped = first === 0x1f && second === 0x8b;

  const open = (begin: number) => ByteStream.open(stored, name, { begin, gzipped });
  const head = async (length: number) => {
    const stream = await open(0);
    return stream.upTo(length).finally(() => stream.close());
  };
  return { name, gzipped, size: gzipped ? undefined : stored.size, stored, open, head };
}
