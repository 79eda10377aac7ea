import { tryFetch } from './http.ts';
import type { Bytes, ReadOptions } from './types.ts';

const cacheName = 'ddpm-wasm';

/**
 * What a URL names, kept in Cache Storage. With a digest what is kept is taken; without one the network comes first, and
 * what is kept stands in where it cannot be reached. That there is nothing is kept, too: offline a folder has no more
 * files than online.
 */
export async function fetchKept(url: URL, options: ReadOptions): Promise<Bytes | undefined> {
  const cache = await openCache();
  if (!cache) return tryFetch(url, options);
  const key = keyOf(url, options.sha256);
  // asking the network while it is known to be off would only print an error
  const known = options.sha256 !== undefined || !navigator.onLine ? await cache.match(key) : undefined;
  if (known) return bytesOf(known);
  let bytes: Bytes | undefined;
  try {
    bytes = await tryFetch(url, options);
  } catch (error) {
    const kept = isNetworkError(error) && !options.signal?.aborted ? await cache.match(key) : undefined;
    if (!kept) throw error;
    return bytesOf(kept);
  }
  await keep(cache, key, bytes, options.cacheBytes!);
  return bytes;
}

/** The cache, or undefined where a page may have none: without TLS, or with storage switched off. */
async function openCache(): Promise<Cache | undefined> {
  return globalThis.caches?.open(cacheName).catch(() => undefined);
}

/** Another digest is another file: one that was replaced is asked for again. */
function keyOf(url: URL, sha256: string | undefined): URL {
  const key = new URL(url);
  if (sha256) key.searchParams.set('sha256', sha256);
  return key;
}

async function bytesOf(kept: Response): Promise<Bytes | undefined> {
  return kept.ok ? new Uint8Array(await kept.arrayBuffer()) : undefined;
}

// a server that answers is believed; only what fetch itself throws is a network that cannot be reached
function isNetworkError(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof TypeError;
}

/** Keeps a file and lets the oldest go. A full disk is no reason to fail. */
async function keep(cache: Cache, key: URL, bytes: Bytes | undefined, maxBytes: number): Promise<void> {
  const size = bytes?.length ?? 0;
  if (size > maxBytes) return;
  const headers = { 'content-length': String(size) };
  try {
    await cache.put(key, new Response(bytes, { status: bytes ? 200 : 404, headers }));
    const requests = await cache.keys(); // in the order of keeping
    const responses = await Promise.all(requests.map((request) => cache.match(request)));
    const sizes = responses.map((response) => Number(response?.headers.get('content-length') ?? 0));
    let total = sizes.reduce((sum, size) => sum + size, 0);
    for (let i = 0; total > maxBytes; i++) {
      await cache.delete(requests[i]);
      total -= sizes[i];
    }
  } catch {
    await cache.delete(key).catch(() => false);
  }
}
