import { tryRead } from '#runtime';
import { DdpmError, show } from '../core/errors.ts';

/** A JSON object as it came from a file. */
export type JsonObject = Readonly<Record<string, unknown>>;

interface JsonOptions {
  readonly signal?: AbortSignal;
  /** What messages call the file. */
  readonly name: string;
}

/** The most bytes of a config: they are a few kB; the limit keeps a hostile file from filling the memory. */
export const maxConfigBytes = 2 ** 20;

/** The object in a JSON file, or undefined if there is no such file. @throws DdpmError `config-invalid`. */
export async function tryReadJson(place: string | URL, options: JsonOptions): Promise<JsonObject | undefined> {
  const bytes = await tryRead(place, { signal: options.signal, maxBytes: maxConfigBytes });
  return bytes && parseJsonObject(bytes, options.name);
}

/** The object in the bytes of a JSON file. @throws DdpmError `config-invalid`. */
export function parseJsonObject(bytes: Uint8Array, name: string): JsonObject {
  const value = parseJson(bytes, name);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DdpmError('config-invalid', `${name}: expected a JSON object, got ${show(value)}`);
  return value as JsonObject;
}

/** The value in the bytes of a JSON file. @throws DdpmError `config-invalid`. */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(plainNumbers(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0].slice(0, 200);
    throw new DdpmError('config-invalid', `${name}: not JSON: ${reason}`, { cause: error });
  }
}

/**
 * Python writes numbers that JSON does not have: diffusers' DPM-Solver configs say `"lambda_min_clipped": -Infinity`.
 * A number too large to hold reads as infinity; NaN says nothing. Strings are passed over, one that never ends to the end.
 */
function plainNumbers(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"?|\b(?:Infinity|NaN)\b/gs, (token) =>
    token === 'Infinity' ? '1e999' : token === 'NaN' ? 'null' : token,
  );
}
