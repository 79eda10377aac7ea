import { show, wrongKind, wrongValue } from './errors.ts';

/** A dense float32 array in C order with its shape: images are [count, channels, height, width] in [-1, 1]. */
export interface Tensor {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** The number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, n) => size * n, 1);
}

/** Throws unless `value` is a list of positive integers whose product can be addressed. */
export function assertShape(value: unknown, argument: string, rank?: number): asserts value is readonly number[] {
  const expected = rank === undefined ? 'a list of positive integers' : `${rank} positive integers`;
  if (!Array.isArray(value)) throw wrongKind(argument, expected, value);
  const good = value.every((n) => Number.isInteger(n) && n > 0) && (rank === undefined || value.length === rank);
  if (!good || value.length === 0) throw wrongValue(argument, expected, value);
  if (sizeOf(value) > 2 ** 30) throw wrongValue(argument, 'at most 2^30 elements', value);
}

/** Throws unless `value` is a tensor whose data fits its shape; with `shape`, of just that shape. */
export function assertTensor(value: unknown, argument: string, shape?: readonly number[]): asserts value is Tensor {
  const tensor = value as Tensor;
  if (typeof value !== 'object' || value === null || !(tensor.data instanceof Float32Array))
    throw wrongKind(argument, 'a tensor { data: Float32Array, shape }', value);
  assertShape(tensor.shape, `${argument}.shape`);
  if (tensor.data.length !== sizeOf(tensor.shape))
    throw wrongValue(
      `${argument}.data`,
      `${sizeOf(tensor.shape)} numbers for shape ${show(tensor.shape)}`,
      tensor.data.length,
    );
  if (shape && (shape.length !== tensor.shape.length || shape.some((n, i) => n !== tensor.shape[i])))
    throw wrongValue(`${argument}.shape`, show(shape), tensor.shape);
}
