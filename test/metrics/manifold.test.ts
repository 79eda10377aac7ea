import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ManifoldFigures, precisionRecall } from '../../src/metrics/manifold.ts';
import type { Rows } from '../../src/metrics/rows.ts';
import { distance, normalRows, rowOf, twoSets } from './points.ts';

/** The four figures as the papers define them, pair by pair. */
function naive(samples: Rows, reference: Rows, k: number): ManifoldFigures {
  const points = (rows: Rows) => Array.from({ length: rows.shape[0] }, (_, i) => rowOf(rows, i));
  const [xs, ys] = [points(samples), points(reference)];
  const radii = (set: number[][]) =>
    set.map(
      (p, i) =>
        set
          .filter((_, j) => j !== i)
          .map((q) => distance(p, q))
          .sort((a, b) => a - b)[k - 1],
    );
  const [rx, ry] = [radii(xs), radii(ys)];
  const share = (flags: boolean[]) => flags.filter(Boolean).length / flags.length;
  return {
    precision: share(xs.map((x) => ys.some((y, j) => distance(x, y) <= ry[j]))),
    recall: share(ys.map((y) => xs.some((x, i) => distance(x, y) <= rx[i]))),
    density: xs.reduce((sum, x) => sum + ys.filter((y, j) => distance(x, y) <= ry[j]).length, 0) / k / xs.length,
    coverage: share(ys.map((y, j) => xs.some((x) => distance(x, y) <= ry[j]))),
  };
}

describe('precisionRecall', () => {
  it('is what the definitions give pair by pair, for any sizes and k', () => {
    fc.assert(
      fc.property(twoSets({ least: 6 }), fc.integer({ min: 1, max: 5 }), ([a, b], k) => {
        expect(precisionRecall(a, b, { k })).toEqual(naive(a, b, k));
      }),
      { numRuns: 40 },
    );
  });

  it('counts the rim of a ball as inside: whole numbers, where ties are everywhere', () => {
    fc.assert(
      fc.property(twoSets({ integer: true, most: 40 }), ([a, b]) => {
        const bytes = (rows: Rows): Rows => ({
          data: Uint8Array.from(rows.data, (x) => (x < 100 ? x + 10 : x / 10)),
          shape: rows.shape,
        });
        expect(precisionRecall(bytes(a), bytes(b))).toEqual(naive(bytes(a), bytes(b), 3));
      }),
      { numRuns: 40 },
    );
  });

  it('is 0 throughout for sets far apart, and 1 with density 1 + 1/k for one set and itself', () => {
    const [a, b] = [normalRows(100, 5, { seed: 1 }), normalRows(120, 5, { seed: 2, shift: 100 })];
    expect(precisionRecall(a, b)).toEqual({ precision: 0, recall: 0, density: 0, coverage: 0 });
    const same = precisionRecall(a, a);
    expect(same).toMatchObject({ precision: 1, recall: 1, coverage: 1 });
    // each ball holds its k neighbours and its own centre
    expect(same.density).toBeCloseTo(4 / 3, 12);
  });

  it('has precision 1 for a part of the reference, and recall that says how much is missing', () => {
    const near = normalRows(100, 3, { seed: 1 });
    const far = normalRows(100, 3, { seed: 2, shift: 50 });
    const both = { data: Float32Array.of(...near.data, ...far.data), shape: [200, 3] };
    expect(precisionRecall(near, both)).toMatchObject({ precision: 1, recall: 0.5 });
    expect(precisionRecall(both, near)).toMatchObject({ precision: 0.5, recall: 1 });
  });

  it('tells an outlier of the reference from support: precision 1, density and coverage low', () => {
    // one reference row in a thousand rows away has a ball that reaches all samples
    const cluster = normalRows(200, 2, { seed: 3, scale: 0.01 });
    const reference = { data: Float32Array.of(...cluster.data, 1000, 0), shape: [201, 2] };
    const samples = normalRows(100, 2, { seed: 4, scale: 1, shift: 300 });
    const { precision, density, coverage } = precisionRecall(samples, reference);
    expect(precision).toBe(1);
    expect(density).toBeCloseTo(1 / 3, 12);
    expect(coverage).toBeCloseTo(1 / 201, 12);
  });

  it('refuses sets of k rows, and k of 0', () => {
    const rows = normalRows(4, 2);
    expect(() => precisionRecall(rows, normalRows(3, 2))).toThrow('"reference" expected at least 4 rows, got 3');
    expect(() => precisionRecall(rows, rows, { k: 0 })).toThrow('"k" expected an integer in 1..1000, got 0');
  });
});
