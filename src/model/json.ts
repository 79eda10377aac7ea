import { tryRead } from '#runtime';
import { DdpmError, show } from '../core/errors.ts';

/** A JSON object as it came from a file. */
export type JsonObject = Readonly<Record<string, unknown>>;

interface JsonOptions {
  readonly signal?: AbortSignal;
  /** What messages call the file. */
  readonly name: string;
  readonly maxBytes?: number;
}

// configs are a few kB; the limit keeps a hostile file from filling the memory
const maxConfigBytes = 2 ** 20;

/** The object in a JSON file, or undefined if there is no such file. @throws DdpmError `config-invalid`. */
export async function tryReadJson(place: string | URL, options: JsonOptions): Promise<JsonObject | undefined> {
  const bytes = await tryRead(place, { maxBytes: maxConfigBytes, ...options });
  return bytes && parse(bytes, options.name);
}

function parse(bytes: Uint8Array, name: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(plainNumbers(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0].slice(0, 200);
    throw new DdpmError('config-invalid', `${name}: not JSON: ${reason}`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DdpmError('config-invalid', `${name}: expected a JSON object, got ${show(value)}`);
  return value as JsonObject;
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
