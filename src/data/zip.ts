import type { FileEntry } from '@zip.js/zip.js';
import type { OpenFile } from '../runtime/types.ts';
import { joined } from './byteStream.ts';
import type { DataFile } from './dataFile.ts';
import { maxImageBytes } from './decode.ts';
import { type ImageSource, invalid } from './source.ts';
import { isHidden, type TreeFile, treeSource } from './tree.ts';

/**
 * The images of a zip archive, by the rules for a folder. A folder that all of them are in says nothing of their class
 * and is taken off. An entry is unpacked when its turn comes, and never to more than it says it is.
 */
export async function openZip({ stored, name }: DataFile, labels?: readonly string[]): Promise<ImageSource> {
  const { Reader, ZipReader } = await import('@zip.js/zip.js');
  // nothing is written by an entry's name, so any name will do
  const reader = Object.assign(new Reader(stored), piecesOf(stored));
  const archive = new ZipReader(reader, { useWebWorkers: false, filenameValidation: 'tolerant' });
  const entries = await archive.getEntries().catch((error: Error) => {
    throw invalid(name, 'a zip archive', `a damaged one: ${error.message}`);
  });
  const files = entries
    .filter((entry) => !entry.directory)
    .map((entry) => {
      const read = () => unpack(entry);
      return { path: entry.filename.replaceAll('\\', '/').replace(/^(\.\/)+/, ''), read, head: read };
    });
  if (files.length > 0 && files.every(({ path }) => path.endsWith('.npy')))
    throw invalid(name, 'an archive of images', '.npy files: unpack it, and name one of them');
  return treeSource(withoutCommonFolder(files), labels);
}

/** What zip.js reads an archive through. Entries lie side by side, so a piece is kept for the next. */
function piecesOf(file: OpenFile) {
  let piece = { begin: 0, bytes: new Uint8Array() };
  return {
    size: file.size,
    async readUint8Array(begin: number, length: number): Promise<Uint8Array> {
      const end = Math.min(begin + length, file.size);
      if (begin < piece.begin || end > piece.begin + piece.bytes.length)
        piece = { begin, bytes: await file.read(begin, Math.max(end, Math.min(begin + pieceBytes, file.size))) };
      return piece.bytes.slice(begin - piece.begin, end - piece.begin);
    },
  };
}

const pieceBytes = 2 ** 18;

async function unpack(entry: FileEntry): Promise<Uint8Array> {
  const { uncompressedSize: size, compressedSize: packed, encrypted } = entry;
  if (encrypted) throw new Error('expected an entry that is not encrypted');
  if (Math.max(size, packed) > maxImageBytes)
    throw new Error(`expected at most ${maxImageBytes} bytes, got ${packed}, ${size} unpacked`);
  const parts: Uint8Array[] = [];
  let length = 0;
  const writable = new WritableStream<Uint8Array>({
    write(part) {
      if (length + part.length > size) throw new Error(`expected ${size} unpacked bytes, got more`);
      parts.push(part.slice());
      length += part.length;
    },
  });
  try {
    await entry.getData({ writable }, { checkSignature: true });
  } catch (error) {
    throw new Error(`expected a whole zip entry, got: ${(error as Error).message}`, { cause: error });
  }
  if (length < size) throw new Error(`expected ${size} unpacked bytes, got ${length}`);
  return joined(parts);
}

function withoutCommonFolder(files: readonly TreeFile[]): readonly TreeFile[] {
  const visible = files.filter(({ path }) => !isHidden(path));
  const prefix = visible[0]?.path.match(/^[^/]+\//)?.[0];
  if (!prefix || !visible.every(({ path }) => path.startsWith(prefix))) return files;
  return visible.map((file) => ({ ...file, path: file.path.slice(prefix.length) }));
}
