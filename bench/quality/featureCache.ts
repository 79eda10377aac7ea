import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Rows that are computed and stored together: what an interrupted run loses at most. */
export const chunkRows = 100;

/** Which rows to have, and how to make those that are not there yet. */
export interface CachedRows {
  /** A folder of its own for each key; what is in it must depend on nothing but its name. */
  readonly folder: string;
  readonly count: number;
  /** Numbers in a row. */
  readonly dims: number;
  /** Rows first..first+count-1, [count, dims]. */
  compute(first: number, count: number): Promise<Float32Array>;
}

/**
 * Rows 0..count-1, from the cache where it has them. Each chunk is stored as soon as it is computed, so a run goes on
 * where the last one stopped; a longer run starts with the rows of a shorter one.
 *
 * @throws What `compute` throws; the chunks before it are kept.
 */
export async function cachedRows({ folder, count, dims, compute }: CachedRows): Promise<Float32Array> {
  const rows = new Float32Array(count * dims);
  for (let first = 0; first < count; first += chunkRows) {
    const chunk = Math.min(chunkRows, count - first);
    const file = path.join(folder, `${first}.f32`);
    const stored = readFloats(file, chunk * dims);
    const values = stored ?? (await compute(first, chunk));
    if (values.length !== chunk * dims || !values.every(Number.isFinite))
      throw new Error(`${file}: expected ${chunk} rows of ${dims} finite numbers, got ${values.length} numbers`);
    if (!stored) writeFloats(file, values);
    rows.set(values, first * dims);
  }
  return rows;
}

/** The first `length` numbers of a file, or undefined where there are not as many. */
function readFloats(file: string, length: number): Float32Array | undefined {
  if (!existsSync(file)) return undefined;
  const bytes = readFileSync(file);
  if (bytes.length < length * 4) return undefined;
  return Float32Array.from({ length }, (_, i) => bytes.readFloatLE(4 * i));
}

function writeFloats(file: string, values: Float32Array): void {
  mkdirSync(path.dirname(file), { recursive: true });
  // a rename is whole or not at all, and two runs at once write the same
  const beside = `${file}.${process.pid}`;
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeFloatLE(value, 4 * i);
  writeFileSync(beside, bytes);
  renameSync(beside, file);
}
