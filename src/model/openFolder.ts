import * as v from 'valibot';
import { exists, joinPlace, tryRead } from '#runtime';
import { assertInteger } from '../core/assert.ts';
import { DdpmError, show, wrongKind } from '../core/errors.ts';
import type { Bytes, ReadOptions } from '../runtime/types.ts';
import { parseJson } from './json.ts';
import type { LoadOptions } from './types.ts';

/** A folder to read from, on disk or behind a URL. */
export interface Folder {
  readonly place: string | URL;
  /** The bytes of a file, or undefined if there is none. @throws DdpmError `model-invalid` where they are not as listed. */
  read(name: string, options?: { readonly maxBytes?: number }): Promise<Bytes | undefined>;
  /** Whether there is such a file. */
  has(name: string): Promise<boolean>;
}

const listName = 'files.json';
const maxListBytes = 2 ** 20;
const defaultCacheBytes = 2 ** 29;

const digest = '64 hexadecimal digits';
const listSchema = v.record(
  v.string(),
  v.object({ sha256: v.pipe(v.string(digest), v.regex(/^[0-9a-f]{64}$/, digest)) }, 'an object with "sha256"'),
  'an object of file names',
);

/**
 * Opens a folder. A files.json in one behind a URL lists what it has, each file with its SHA-256: then nothing else is
 * asked for, and what comes is checked.
 */
export async function openFolder(place: string | URL, options: LoadOptions): Promise<Folder> {
  const reading = readingOf(options);
  const { signal } = reading;
  const digests = await readList(joinPlace(place, listName), reading);
  return {
    place,
    async read(name, { maxBytes = options.maxBytes } = {}) {
      if (digests && !digests.has(name)) return undefined;
      return tryRead(joinPlace(place, name), { ...reading, maxBytes, sha256: digests?.get(name) });
    },
    has: async (name) => (digests ? digests.has(name) : exists(joinPlace(place, name), { signal })),
  };
}

/** How the files of a model are read. */
export function readingOf({ signal, onProgress, cache }: LoadOptions): ReadOptions {
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw wrongKind('onProgress', 'a function', onProgress);
  return { signal, onProgress, cacheBytes: cacheBytesOf(cache) };
}

/** The digests in a list of files, or undefined where there is none. Folders on disk are read as they are. */
async function readList(place: string | URL, reading: ReadOptions): Promise<Map<string, string> | undefined> {
  if (!(place instanceof URL)) return undefined;
  const bytes = await tryRead(place, { ...reading, onProgress: undefined, maxBytes: maxListBytes });
  if (!bytes) return undefined;
  const parsed = v.safeParse(listSchema, parseJson(bytes, listName));
  if (parsed.success) return new Map(Object.entries(parsed.output).map(([name, { sha256 }]) => [name, sha256]));
  const [issue] = parsed.issues;
  const where = issue.path?.map(({ key }) => show(key)).join('.') ?? listName;
  throw new DdpmError('config-invalid', `${listName}: ${where} expected ${issue.message}, got ${show(issue.input)}`);
}

function cacheBytesOf(cache: LoadOptions['cache'] = true): number | undefined {
  if (typeof cache === 'boolean') return cache ? defaultCacheBytes : undefined;
  if (typeof cache !== 'object' || cache === null) throw wrongKind('cache', 'true, false or { maxBytes }', cache);
  assertInteger(cache.maxBytes, 'cache.maxBytes', 1, Number.MAX_SAFE_INTEGER);
  return cache.maxBytes;
}
