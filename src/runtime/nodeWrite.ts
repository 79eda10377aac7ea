import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { DdpmError } from '../core/errors.ts';

/**
 * Writes a file that appears whole or not at all, and stays after a power cut: written beside its place, flushed to the
 * disk, renamed, and the renaming flushed too. The file beside has a name of its own for each target, so that what a
 * killed process left is overwritten by the next. Missing folders are made.
 */
export async function writeWhole(file: string, bytes: Uint8Array): Promise<void> {
  const folder = path.dirname(file);
  const temporary = path.join(folder, `.${path.basename(file)}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    try {
      await writeFlushed(temporary, bytes);
      await rename(temporary, file);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
    await flushFolder(folder);
  } catch (error) {
    throw unwritable(file, error);
  }
}

/** Removes a file; nothing happens where there is none. */
export async function removeWhole(file: string): Promise<void> {
  try {
    await rm(file, { force: true });
  } catch (error) {
    throw unwritable(file, error);
  }
}

/** The error for a file that the system does not let us write. */
export function unwritable(file: string, error: unknown): DdpmError {
  return new DdpmError('output-failed', `cannot write ${file}: ${reason(error)}`, { cause: error });
}

async function writeFlushed(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

// Windows opens no folders, and some file systems do not flush them
async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder).catch(() => undefined);
  try {
    await handle?.sync();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') throw error;
  } finally {
    await handle?.close();
  }
}

/** What the system says, in words. */
function reason(error: unknown): string {
  const reasons: Record<string, string> = {
    EACCES: 'permission denied',
    EEXIST: 'there is a file where a folder is needed',
    EFBIG: 'the file is larger than the system allows',
    EISDIR: 'it is a folder',
    ENOENT: 'the folder takes no files',
    ENOTDIR: 'there is a file where a folder is needed',
    EPERM: 'permission denied',
    EROFS: 'the file system is read-only',
    ENOSPC: 'the disk is full',
    EDQUOT: 'the disk quota is used up',
    ENAMETOOLONG: 'the name is too long',
  };
  const { code = '', message } = error as NodeJS.ErrnoException;
  return reasons[code] ?? message;
}
