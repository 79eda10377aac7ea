import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KernelOptions, kernelDistance, kernelDistanceOnce } from '../../src/metrics/kernel.ts';
import type { Rows } from '../../src/metrics/rows.ts';
import { dot, normalRows, rowOf, twoSets } from './points.ts';

/** Gretton et al. 2012, eq. 3, as it stands there. */
function naive(a: Rows, b: Rows): number {
  const [n, m] = [a.shape[0], b.shape[0]];
  const [xs, ys] = [a, b].map((rows) => Array.from({ length: rows.shape[0] }, (_, i) => rowOf(rows, i)));
  const k = (x: number[], y: number[]) => (dot(x, y) / x.length + 1) ** 3;
  let [within, among, across] = [0, 0, 0];
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i !== j) within += k(xs[i], xs[j]);
  for (let i = 0; i < m; i++) for (let j = 0; j < m; j++) if (i !== j) among += k(ys[i], ys[j]);
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) across += k(xs[i], ys[j]);
  return within / (n * (n - 1)) + among / (m * (m - 1)) - (2 * across) / (n * m);
}

describe('the kernel distance of whole sets', () => {
  it('is that of a double loop, within 1e-9 of the largest term', () => {
    fc.assert(
      fc.property(twoSets(), ([a, b]) => {
        const expected = naive(a, b);
        const largest = Math.max(...[a, b].map(({ data }) => (Math.max(...data.map(Math.abs)) ** 2 + 1) ** 3));
        expect(Math.abs(kernelDistanceOnce(a, b) - expected)).toBeLessThan(1e-9 * largest);
      }),
      { numRuns: 40 },
    );
  });

  it('is 3 m^2 + 3 m^4 + (3 m + m^3)^2 for normal numbers apart by m, within 4 standard errors', () => {
    const m = 0.5;
    const [a, b] = [normalRows(20_000, 1, { seed: 1 }), normalRows(20_000, 1, { seed: 2, shift: m })];
    // E(xy+1)^3 = sum over powers p of C(3, p) E[x^p] E[y^p], so the distance is sum C(3, p) (E[x^p] - E[y^p])^2
    const expected = 3 * m ** 2 + 3 * (m ** 2) ** 2 + (3 * m + m ** 3) ** 2;
    const { distance, standardError } = kernelDistance(a, b);
    expect(Math.abs(distance - expected)).toBeLessThan(4 * standardError);
    expect(standardError).toBeLessThan(0.2 * expected);
  });
});

describe('kernelDistance', () => {
  it('is the mean over disjoint halves of the sets: theirs, with the error of two numbers, within 1e-12', () => {
    // however four rows are dealt into two pairs, it is one of these
    const [a, b] = [normalRows(4, 3, { seed: 1 }), normalRows(4, 3, { seed: 2 })];
    const { distance, standardError } = kernelDistance(a, b, { subsets: 2, size: 2, seed: 3 });
    const pairs = [
      [0, 1, 2, 3],
      [0, 2, 1, 3],
      [0, 3, 1, 2],
    ];
    const pick = (rows: Rows, i: number, j: number): Rows => ({
      data: Float32Array.of(...rowOf(rows, i), ...rowOf(rows, j)),
      shape: [2, 3],
    });
    const possible = pairs.flatMap(([p, q, r, s]) =>
      pairs.flatMap(([t, u, v, w]) => [
        [naive(pick(a, p, q), pick(b, t, u)), naive(pick(a, r, s), pick(b, v, w))],
        [naive(pick(a, p, q), pick(b, v, w)), naive(pick(a, r, s), pick(b, t, u))],
      ]),
    );
    const found = possible.filter(([d, e]) => Math.abs((d + e) / 2 - distance) < 1e-12);
    expect(found.some(([d, e]) => Math.abs(Math.abs(d - e) / 2 - standardError) < 1e-12)).toBe(true);
  });

  it('is 0 for the same distribution, within 3 standard errors for 57 of 60 seeds', () => {
    const far = Array.from({ length: 60 }, (_, seed) => {
      const { distance, standardError } = kernelDistance(
        normalRows(400, 4, { seed: 2 * seed }),
        normalRows(500, 4, { seed: 2 * seed + 1 }),
      );
      return Math.abs(distance) > 3 * standardError;
    });
    expect(far.filter(Boolean).length).toBeLessThanOrEqual(3);
  });

  it('grows with a shift', () => {
    const reference = normalRows(600, 8, { seed: 1 });
    const distances = [0, 0.2, 0.5, 1].map(
      (shift) => kernelDistance(normalRows(500, 8, { seed: 2, shift }), reference).distance,
    );
    expect(distances).toEqual(distances.toSorted((a, b) => a - b));
    expect(distances[3]).toBeGreaterThan(1);
  });

  it('is decided by the seed, and exactly 0 without error for rows that are all equal', () => {
    const a = { data: Float32Array.from({ length: 12 }, (_, i) => i), shape: [12, 1] };
    const b = { data: Float32Array.from({ length: 12 }, (_, i) => i / 2), shape: [12, 1] };
    const halves = kernelDistance(a, b, { subsets: 2, size: 6, seed: 5 });
    expect(halves).toEqual(kernelDistance(a, b, { subsets: 2, size: 6, seed: 5 }));
    expect(halves).not.toEqual(kernelDistance(a, b, { subsets: 2, size: 6, seed: 6 }));
    const equal = { data: new Float32Array(12).fill(3), shape: [12, 1] };
    expect(kernelDistance(equal, equal, { size: 4 })).toEqual({ distance: 0, standardError: 0 });
  });

  it('has as its error the spread of the distance over fresh sets: from 15% below to 60% above', () => {
    const runs = Array.from({ length: 150 }, (_, seed) =>
      kernelDistance(normalRows(300, 2, { seed: 2 * seed, shift: 0.4 }), normalRows(300, 2, { seed: 2 * seed + 1 })),
    );
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const distances = runs.map(({ distance }) => distance);
    const spread = Math.sqrt(mean(distances.map((d) => (d - mean(distances)) ** 2)));
    const told = Math.sqrt(mean(runs.map(({ standardError }) => standardError ** 2)));
    expect(told / spread).toBeGreaterThan(0.85);
    expect(told / spread).toBeLessThan(1.6);
  });

  it.each([
    [{ subsets: 1 }, '"subsets" expected an integer in 2..1000000, got 1'],
    [{ size: 6 }, '"size" expected an integer in 2..5, got 6'],
    [{ seed: -1 }, '"seed" expected an integer of at least 0, got -1'],
    [{ sise: 6 } as KernelOptions, 'no such option'],
  ] as [KernelOptions, string][])('refuses %j', (options, message) => {
    const rows = normalRows(10, 2);
    expect(() => kernelDistance(rows, rows, options)).toThrow(message);
  });

  it('refuses sets of 3 rows, of other lengths, and bytes against floats', () => {
    const rows = normalRows(10, 2);
    expect(() => kernelDistance(rows, normalRows(3, 2))).toThrow('"reference" expected at least 4 rows, got 3');
    expect(() => kernelDistance(rows, normalRows(10, 3))).toThrow('"reference" expected rows of 2 numbers, got 3');
    const bytes = { data: new Uint8Array(20), shape: [10, 2] };
    expect(() => kernelDistance(rows, bytes)).toThrow('"reference.data" expected floats, as the other rows are');
  });
});
