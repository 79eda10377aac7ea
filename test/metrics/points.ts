import fc from 'fast-check';
import type { Rows } from '../../src/metrics/rows.ts';

/** Rows [n, dims] of standard normal numbers times `scale` plus `shift`, decided by the seed. */
export function normalRows(
  n: number,
  dims: number,
  { seed = 0, scale = 1, shift = 0 } = {},
): Rows & { data: Float32Array } {
  // Lehmer's generator and Box and Muller's transform: unlike the library's own in every respect
  let state = (seed * 7919 + 17) % 2147483647;
  const uniform = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  for (let i = 0; i < 10; i++) uniform();
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return { data: Float32Array.from({ length: n * dims }, () => normal() * scale + shift), shape: [n, dims] };
}

/** A row as numbers. */
export function rowOf({ data, shape }: Rows, i: number): number[] {
  const dims = shape.slice(1).reduce((a, b) => a * b, 1);
  return [...data.subarray(i * dims, (i + 1) * dims)];
}

export function dot(x: readonly number[], y: readonly number[]): number {
  return x.reduce((sum, value, i) => sum + value * y[i], 0);
}

export function distance(x: readonly number[], y: readonly number[]): number {
  return Math.sqrt(x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0));
}

/** Two sets of rows of the same length, whose sizes are no multiples of anything; `integer` makes ties likely. */
export function twoSets({ least = 4, most = 150, integer = false } = {}): fc.Arbitrary<[Rows, Rows]> {
  const count = fc.integer({ min: least, max: most });
  return fc
    .record({ n: count, m: count, dims: fc.integer({ min: 1, max: 9 }), seed: fc.nat(1e6), bytes: fc.boolean() })
    .map(({ n, m, dims, seed, bytes }) => {
      const make = (rows: number, own: number): Rows => {
        const { data, shape } = normalRows(rows, dims, { seed: 2 * seed + own, shift: own / 2 });
        const drawn = integer ? data.map(Math.round) : data;
        return { data: bytes ? Uint8Array.from(drawn, (x) => 128 + 20 * x) : drawn, shape };
      };
      return [make(n, 0), make(m, 1)] as [Rows, Rows];
    });
}
