import { open, readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { DdpmError } from '../core/errors.ts';
import type { Bytes } from './types.ts';

/** What the file system says of a path; undefined if there is nothing. */
export async function tryStat(file: string) {
  try {
    return await stat(file);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw unreadable(file, error);
  }
}

/** The files in a folder and below, hidden ones apart, as paths with slashes. */
export async function filesBelow(folder: string, signal?: AbortSignal): Promise<string[]> {
  const found: string[] = [];
  try {
    await walk(folder, '', []);
  } catch (error) {
    throw signal?.aborted ? error : unreadable(folder, error);
  }
  return found;

  async function walk(at: string, prefix: string, above: readonly string[]): Promise<void> {
    signal?.throwIfAborted();
    // a link back to a folder that it is in would never end
    const real = await realpath(at);
    if (above.includes(real)) return;
    for (const entry of await readdir(at, { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const full = path.join(at, entry.name);
      const linked = entry.isSymbolicLink() && (await stat(full).catch(() => undefined))?.isDirectory();
      if (linked || entry.isDirectory()) await walk(full, `${prefix}${entry.name}/`, [...above, real]);
      else found.push(prefix + entry.name);
    }
  }
}

/** The bytes of a file from `begin` to before `end`, or to its end. Nothing stays open. */
export async function readRange(file: string, begin: number, end: number): Promise<Bytes> {
  try {
    const handle = await open(file);
    try {
      const bytes = new Uint8Array(end - begin);
      let size = 0;
      while (size < bytes.length) {
        const { bytesRead } = await handle.read(bytes, size, bytes.length - size, begin + size);
        if (bytesRead === 0) break;
        size += bytesRead;
      }
      return bytes.subarray(0, size);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** The error for a path that the system does not let us read. */
export function unreadable(file: string, error: unknown): DdpmError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new DdpmError('model-not-found', `${file}: ${code ?? message}`, { cause: error });
}
