import { show, wrongKind, wrongValue } from '../core/errors.ts';
import { assertShape, sizeOf } from '../core/tensor.ts';

/**
 * Points of a space, one a row: the first axis counts them, the others together are one row. Features [n, dims] are
 * rows, and so are images [n, channels, height, width], as floats or as bytes.
 */
export interface Rows {
  readonly data: Float32Array | Uint8Array;
  readonly shape: readonly number[];
}

/** Throws unless `value` is rows, at least `least` of them, all numbers finite. */
export function assertRows(value: unknown, argument: string, least = 1): asserts value is Rows {
  const { data, shape } = (value ?? {}) as Partial<Rows>;
  if (!(data instanceof Float32Array || data instanceof Uint8Array))
    throw wrongKind(argument, 'rows { data: Float32Array or Uint8Array, shape }', value);
  assertShape(shape, `${argument}.shape`);
  if (shape.length < 2) throw wrongValue(`${argument}.shape`, 'a number of rows and their length', shape);
  if (data.length !== sizeOf(shape))
    throw wrongValue(`${argument}.data`, `${sizeOf(shape)} numbers for shape ${show(shape)}`, data.length);
  if (shape[0] < least) throw wrongValue(argument, `at least ${least} rows`, shape[0]);
  const odd = data instanceof Float32Array ? data.findIndex((number) => !Number.isFinite(number)) : -1;
  if (odd >= 0) throw wrongValue(`${argument}.data`, 'finite numbers', data[odd]);
}

/** Throws unless two sets of rows are points of one space: as long, and both floats or both bytes. */
export function assertAlike(a: Rows, b: Rows, argument: string): void {
  if (dimsOf(a) !== dimsOf(b)) throw wrongValue(argument, `rows of ${dimsOf(a)} numbers`, dimsOf(b));
  const kind = (rows: Rows) => (rows.data instanceof Uint8Array ? 'bytes' : 'floats');
  if (kind(a) !== kind(b)) throw wrongKind(`${argument}.data`, `${kind(a)}, as the other rows are`, b.data);
}

/** Numbers in a row. */
export function dimsOf({ shape }: Rows): number {
  return sizeOf(shape.slice(1));
}

/** Rows begin..end-1, a view. */
export function rowsBetween(rows: Rows, begin: number, end: number): Rows {
  const dims = dimsOf(rows);
  return { data: rows.data.subarray(begin * dims, end * dims), shape: [end - begin, dims] };
}

/** Rows begin..end-1 as floats: a view where they are floats already. */
export function floatsOf(rows: Rows, begin: number, end: number): Float32Array {
  const { data: part } = rowsBetween(rows, begin, end);
  return part instanceof Float32Array ? part : Float32Array.from(part);
}

/** Rows of `dims` numbers that come in parts, at least one, as one set. */
export function joinRows<T extends Float32Array | Uint8Array>(parts: readonly T[], dims: number) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const data = (parts[0] instanceof Uint8Array ? new Uint8Array(length) : new Float32Array(length)) as T;
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return { data, shape: [length / dims, dims] };
}
