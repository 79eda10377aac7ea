import { createHash } from 'node:crypto';

/** A name for anything that depends on just these parts, in this order; texts and bytes of any length. */
export function digestOf(...parts: readonly (string | ArrayBufferView)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    // the length tells ('ab', 'c') from ('a', 'bc')
    hash.update(`${typeof part === 'string' ? Buffer.byteLength(part) : part.byteLength}:`);
    hash.update(part as string | Uint8Array);
  }
  return hash.digest('hex').slice(0, 24);
}
