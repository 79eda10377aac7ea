import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DdpmError, wrongValue } from '../core/errors.ts';
import { compileEngine } from './compileEngine.ts';
import {
  existsUrl,
  folderOfUrl,
  isHttp,
  joinUrl,
  kindOfUrl,
  maxFileBytes,
  openUrl,
  refuseFolder,
  showPlace,
  tryFetch,
} from './http.ts';
import { filesBelow, readRange, tryStat, unreadable } from './nodeFiles.ts';
import { decodeImage, encodeWebp } from './nodeImage.ts';
import { autoDevices, loadOrt } from './nodeOrt.ts';
import { cores, serveThread, startThread } from './nodeThreads.ts';
import { removeWhole, writeWhole } from './nodeWrite.ts';
import type { Bytes, OpenFile, ReadOptions } from './types.ts';

export { autoDevices, compileEngine, cores, decodeImage, encodeWebp, loadOrt, serveThread, startThread };

// both src/runtime and dist/runtime are two levels below the package
const modelsFolder = fileURLToPath(new URL('../../models', import.meta.url));

/** @see Runtime.readBytes */
export async function readBytes(place: string | URL, options: ReadOptions = {}): Promise<Bytes> {
  const bytes = await tryRead(place, options);
  if (!bytes) throw new DdpmError('model-not-found', `nothing at ${showPlace(locate(place))}`);
  return bytes;
}

/** @see Runtime.tryRead */
export async function tryRead(place: string | URL, options: ReadOptions = {}): Promise<Bytes | undefined> {
  const located = locate(place);
  if (located instanceof URL) return tryFetch(located, options);
  const { signal, maxBytes = maxFileBytes } = options;
  const entry = await tryStat(located);
  if (!entry) return undefined;
  // a device or a pipe has no size to check before reading
  if (!entry.isFile()) throw new DdpmError('model-not-found', `${located}: not a file`);
  if (entry.size > maxBytes)
    throw new DdpmError('model-invalid', `${located}: expected at most ${maxBytes} bytes, got ${entry.size}`);
  try {
    const bytes = await readFile(located, { signal });
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (error) {
    throw signal?.aborted ? error : unreadable(located, error);
  }
}

/** @see Runtime.exists */
export async function exists(place: string | URL, options: ReadOptions = {}): Promise<boolean> {
  const located = locate(place);
  return located instanceof URL ? existsUrl(located, options) : ((await tryStat(located))?.isFile() ?? false);
}

/** @see Runtime.kindOf */
export async function kindOf(place: string | URL): Promise<'file' | 'folder' | 'missing'> {
  const located = locate(place);
  if (located instanceof URL) return kindOfUrl(located);
  const entry = await tryStat(located);
  if (!entry) return 'missing';
  return entry.isDirectory() ? 'folder' : 'file';
}

/** @see Runtime.listFiles */
export async function listFiles(place: string | URL, { signal }: ReadOptions = {}): Promise<string[] | undefined> {
  const located = locate(place);
  if (located instanceof URL) return refuseFolder(located);
  return (await tryStat(located))?.isDirectory() ? filesBelow(located, signal) : undefined;
}

/** @see Runtime.openFile */
export async function openFile(place: string | URL, options: ReadOptions = {}): Promise<OpenFile | undefined> {
  const located = locate(place);
  if (located instanceof URL) return openUrl(located, options);
  const entry = await tryStat(located);
  if (!entry) return undefined;
  if (!entry.isFile()) throw new DdpmError('model-not-found', `${located}: not a file`);
  return { size: entry.size, read: (begin, end) => readRange(located, begin, end) };
}

/** @see Runtime.writeFile */
export async function writeFile(place: string | URL, bytes: Uint8Array): Promise<void> {
  await writeWhole(onDisk(place), bytes);
}

/** @see Runtime.removeFile */
export async function removeFile(place: string | URL): Promise<void> {
  await removeWhole(onDisk(place));
}

/** @see Runtime.joinPlace */
export function joinPlace(folder: string | URL, name: string): string | URL {
  const located = locate(folder);
  return located instanceof URL ? joinUrl(located, name) : path.join(located, name);
}

/** @see Runtime.folderOf */
export function folderOf(file: string | URL): string | URL {
  const located = locate(file);
  return located instanceof URL ? folderOfUrl(located) : path.dirname(located);
}

/** @see Runtime.nextTurn */
export function nextTurn(): Promise<void> {
  return setImmediate();
}

/** @see Runtime.bundledModel */
export async function bundledModel(name: string): Promise<string | undefined> {
  return (await bundledNames()).includes(name) ? path.join(modelsFolder, name) : undefined;
}

/** @see Runtime.bundledNames */
export async function bundledNames(): Promise<readonly string[]> {
  const entries = await readdir(modelsFolder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function locate(place: string | URL): string | URL {
  if (typeof place === 'string') return isHttp(place) ? new URL(place) : place;
  if (place.protocol === 'file:') return fileURLToPath(place);
  if (isHttp(place.href)) return place;
  throw wrongValue('source', 'a file:, http: or https: URL', place.href);
}

function onDisk(place: string | URL): string {
  const located = locate(place);
  if (located instanceof URL)
    throw new DdpmError('output-failed', `cannot write ${showPlace(located)}: expected a path, got a URL`);
  return located;
}
