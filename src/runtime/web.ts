import { DdpmError, wrongValue } from '../core/errors.ts';
import { compileEngine } from './compileEngine.ts';
import {
  existsUrl,
  folderOfUrl,
  isModelName,
  joinUrl,
  kindOfUrl,
  openUrl,
  refuseFolder,
  showPlace,
  tryFetch,
} from './http.ts';
import type { Bytes, OpenFile, RawImage, ReadOptions, Thread } from './types.ts';
import { fetchKept } from './webCache.ts';
import { autoDevices, loadOrt } from './webOrt.ts';

export { autoDevices, compileEngine, loadOrt };

/** @see Runtime.readBytes */
export async function readBytes(place: string | URL, options: ReadOptions = {}): Promise<Bytes> {
  const bytes = await tryRead(place, options);
  if (!bytes) throw new DdpmError('model-not-found', `nothing at ${showPlace(urlOf(place))}`);
  return bytes;
}

/** @see Runtime.tryRead */
export async function tryRead(place: string | URL, options: ReadOptions = {}): Promise<Bytes | undefined> {
  return options.cacheBytes ? fetchKept(urlOf(place), options) : tryFetch(urlOf(place), options);
}

/** @see Runtime.exists */
export async function exists(place: string | URL, options: ReadOptions = {}): Promise<boolean> {
  return existsUrl(urlOf(place), options);
}

/** @see Runtime.kindOf */
export async function kindOf(place: string | URL): Promise<'file' | 'folder' | 'missing'> {
  return kindOfUrl(urlOf(place));
}

/** @see Runtime.listFiles */
export async function listFiles(place: string | URL): Promise<undefined> {
  return refuseFolder(urlOf(place));
}

/** @see Runtime.openFile */
export async function openFile(place: string | URL, options: ReadOptions = {}): Promise<OpenFile | undefined> {
  return openUrl(urlOf(place), options);
}

/** @see Runtime.writeFile */
export async function writeFile(place: string | URL): Promise<void> {
  throw noFiles(place);
}

/** @see Runtime.removeFile */
export async function removeFile(place: string | URL): Promise<void> {
  throw noFiles(place);
}

/** @see Runtime.joinPlace */
export function joinPlace(folder: string | URL, name: string): URL {
  return joinUrl(urlOf(folder), name);
}

/** @see Runtime.folderOf */
export function folderOf(file: string | URL): URL {
  return folderOfUrl(urlOf(file));
}

/** @see Runtime.decodeImage */
export async function decodeImage(): Promise<RawImage> {
  throw new DdpmError('device-unavailable', 'sharp, which runs in Node.js only: take PNG');
}

/** @see Runtime.nextTurn */
export function nextTurn(): Promise<void> {
  // not a timer: browsers make those wait
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** @see Runtime.encodeWebp */
export async function encodeWebp(): Promise<Uint8Array> {
  throw new DdpmError('device-unavailable', 'webp: expected sharp, which runs in Node.js only: take png');
}

/** @see Runtime.cores */
export function cores(): number {
  // onnxruntime-web has threads of its own
  return 1;
}

/** @see Runtime.startThread */
export function startThread(): Thread {
  throw noThreads();
}

/** @see Runtime.serveThread */
export function serveThread(): void {
  throw noThreads();
}

/** @see Runtime.bundledModel */
export async function bundledModel(name: string): Promise<URL | undefined> {
  // the server tells whether it is there; both src/runtime and dist/runtime are two levels below the package
  return isModelName(name) ? new URL(`../../models/${name}`, import.meta.url) : undefined;
}

/** @see Runtime.bundledNames */
export async function bundledNames(): Promise<readonly string[]> {
  return [];
}

// a relative URL is one of the page's own, as in an <img src>
function urlOf(place: string | URL): URL {
  if (place instanceof URL) return place;
  const base = globalThis.location?.href;
  if (!URL.canParse(place, base)) throw wrongValue('source', 'a URL', place);
  return new URL(place, base);
}

function noThreads(): DdpmError {
  return new DdpmError('device-unavailable', 'threads need Node.js: a page starts a worker of its own');
}

function noFiles(place: string | URL): DdpmError {
  return new DdpmError('output-failed', `cannot write ${showPlace(place)}: a page has no file system`);
}
