import { collectBytes } from '../core/collect.ts';
import { DdpmError } from '../core/errors.ts';
import { hasSha256, sha256, toHex } from '../core/sha256.ts';
import type { Bytes, OpenFile, ReadOptions } from './types.ts';

/** The most bytes that one file may have: what Node reads in one go. */
export const maxFileBytes = 2 ** 31 - 1;

const modelFile = /\.(onnx|safetensors|ddpm|bin|ckpt|pt|pth)$/i;

/** Whether a string is a URL by our rule: nothing else ever reaches the network. */
export function isHttp(place: string): boolean {
  return /^https?:\/\//i.test(place);
}

/** Whether a page takes a string for the name of a bundled model; anything else is a place. */
export function isModelName(source: string): boolean {
  return /^[a-z0-9][a-z0-9_-]*$/.test(source);
}

/** What a URL names, judged by its extension: asking the server would cost a request for every guess. */
export function kindOfUrl(url: URL): 'file' | 'folder' {
  return modelFile.test(url.pathname) ? 'file' : 'folder';
}

/** The place `name` below a URL, whose query (a signature, say) stays. */
export function joinUrl(folder: URL, name: string): URL {
  const joined = new URL(folder);
  joined.pathname = `${folder.pathname.replace(/\/$/, '')}/${name}`;
  return joined;
}

/** The folder of a URL, whose query stays. */
export function folderOfUrl(file: URL): URL {
  const folder = new URL(file);
  folder.pathname = file.pathname.replace(/[^/]*$/, '');
  return folder;
}

/** A place as messages show it: without the query of a URL, which may hold a secret. */
export function showPlace(place: string | URL): string {
  if (!(place instanceof URL)) return place;
  return `${place.protocol === 'file:' ? '' : place.origin}${place.pathname}`;
}

/** The bytes behind a URL, or undefined if the server has none. */
export async function tryFetch(url: URL, options: ReadOptions = {}): Promise<Bytes | undefined> {
  const { signal } = options;
  const response = await request(url, 'GET', signal);
  if (isMissing(response)) {
    await response.body?.cancel();
    return undefined;
  }
  if (!response.ok) throw new DdpmError('model-not-found', `${showPlace(url)}: the server answered ${response.status}`);
  try {
    const bytes = await readBody(response, url, options);
    if (options.sha256) await assertDigest(bytes, url, options.sha256);
    return bytes;
  } catch (error) {
    throw failure(error, url, signal);
  }
}

/** @see Runtime.listFiles */
export function refuseFolder(url: URL): undefined {
  if (url.pathname.endsWith('/'))
    throw new DdpmError('model-not-found', `${showPlace(url)}: a folder cannot be listed over HTTP: name a file of it`);
}

/** A file behind a URL, held in memory, or undefined if the server has none. */
export async function openUrl(url: URL, options?: ReadOptions): Promise<OpenFile | undefined> {
  const bytes = await tryFetch(url, options);
  return bytes && { size: bytes.length, read: async (begin, end) => bytes.slice(begin, end) };
}

/** Whether a server has something behind a URL. */
export async function existsUrl(url: URL, { signal }: ReadOptions = {}): Promise<boolean> {
  const response = await request(url, 'HEAD', signal);
  return response.ok && !isMissing(response);
}

// buckets answer 403 for a missing key, and hosts of single-page apps answer every path with their HTML page
function isMissing(response: Response): boolean {
  const html = response.headers.get('content-type')?.startsWith('text/html') ?? false;
  return [403, 404, 410].includes(response.status) || (response.ok && html);
}

async function request(url: URL, method: string, signal: AbortSignal | undefined): Promise<Response> {
  try {
    return await fetch(url, { method, signal });
  } catch (error) {
    throw failure(error, url, signal);
  }
}

// content-length may lie, so it is but a hint
async function readBody(
  response: Response,
  url: URL,
  { maxBytes = maxFileBytes, onProgress }: ReadOptions,
): Promise<Bytes> {
  if (!response.body) return new Uint8Array();
  const file = showPlace(url);
  const total = sizeOf(response);
  const onBytes = (loaded: number) => onProgress?.({ file, loaded, total });
  return collectBytes(response.body, { name: file, maxBytes, expectedBytes: total, onBytes });
}

function sizeOf({ headers }: Response): number | undefined {
  const length = headers.get('content-length');
  return length && !headers.has('content-encoding') ? Number(length) : undefined;
}

async function assertDigest(bytes: Bytes, url: URL, expected: string): Promise<void> {
  if (!hasSha256()) return;
  const got = toHex(await sha256(bytes));
  if (got !== expected)
    throw new DdpmError('model-invalid', `${showPlace(url)}: expected bytes of SHA-256 ${expected}, got ${got}`);
}

function failure(error: unknown, url: URL, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted || error instanceof DdpmError) return error;
  // undici hides the reason (refused, no such host) one level down
  const { message, cause } = error as Error;
  const reason = cause instanceof Error ? cause.message || (cause as { code?: string }).code || message : message;
  return new DdpmError('model-not-found', `${showPlace(url)}: ${reason}`, { cause: error });
}
