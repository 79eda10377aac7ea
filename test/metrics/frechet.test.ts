import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEngine, randn } from '../../src/index.ts';
import { eigenSymmetric } from '../../src/metrics/eigen.ts';
import {
  fitGaussian,
  frechet,
  frechetDistance,
  frechetWithError,
  type Gaussian,
  pool,
} from '../../src/metrics/frechet.ts';
import { maxDifference } from '../support/goldens.ts';

const count = 1001;

/** A Gaussian with just this mean and covariance. */
function gaussian(mean: number[], covariance: number[][]): Gaussian {
  return {
    count,
    mean: Float64Array.from(mean),
    scatter: Float64Array.from(covariance.flat(), (value) => value * (count - 1)),
  };
}

/** R C R' for the rotation by `angle` of the first two axes. */
function rotated(covariance: number[][], angle: number): number[][] {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const r = covariance.map((_, i) => covariance.map((_, j) => Number(i === j)));
  [r[0][0], r[0][1], r[1][0], r[1][1]] = [c, -s, s, c];
  const times = (a: number[][], b: number[][]) =>
    a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
  const transposed = r.map((_, i) => r.map((row) => row[i]));
  return times(times(r, covariance), transposed);
}

/** Rows of `dims` numbers. */
const rows = (dims: number, ...values: number[]) => ({
  data: Float32Array.from(values),
  shape: [values.length / dims, dims],
});

const diagonal = (...values: number[]) => values.map((value, i) => values.map((_, j) => (i === j ? value : 0)));

describe('frechet of two Gaussians', () => {
  it('is (m1 - m2)^2 + (s1 - s2)^2 in one dimension, within 1e-12', () => {
    expect(frechet(gaussian([1], [[4]]), gaussian([-2], [[9]]))).toBeCloseTo(9 + 1, 12);
  });

  it('is |m1 - m2|^2 + sum (s1 - s2)^2 for diagonal covariances, within 1e-12', () => {
    const [a, b] = [gaussian([0, 1, 2], diagonal(1, 4, 9)), gaussian([1, 1, 0], diagonal(16, 1, 9))];
    expect(frechet(a, b)).toBeCloseTo(5 + 9 + 1 + 0, 12);
  });

  it('is that of the eigenvalues for covariances that commute, within 1e-12', () => {
    const [a, b] = [rotated(diagonal(1, 4, 25), 0.7), rotated(diagonal(9, 16, 1), 0.7)];
    expect(frechet(gaussian([0, 0, 0], a), gaussian([0, 0, 0], b))).toBeCloseTo(4 + 4 + 16, 12);
  });

  // the root of C1 C2 has trace sqrt(tr + 2 sqrt(det)) in two dimensions
  it('is tr C1 + tr C2 - 2 sqrt(tr(C1 C2) + 2 sqrt(det C1 det C2)) in two dimensions however turned, within 1e-12', () => {
    for (const angle of [0.1, 0.5, 1, 1.5, 2]) {
      const b = rotated(diagonal(2, 5), angle);
      const shared = Math.sqrt(b[0][0] + 9 * b[1][1] + 2 * Math.sqrt(9 * 10));
      const expected = 10 + 7 - 2 * shared;
      expect(frechet(gaussian([0, 0], diagonal(1, 9)), gaussian([0, 0], b))).toBeCloseTo(expected, 12);
    }
  });

  it('does not change when both are turned, is symmetric, and 0 for equals, within 1e-10', () => {
    const [a, b] = [diagonal(1, 4, 9), rotated(diagonal(3, 0.5, 2), 1.2)];
    const zero = [0, 0, 0];
    const distance = frechet(gaussian(zero, a), gaussian(zero, b));
    expect(distance).toBeGreaterThan(0.5);
    expect(frechet(gaussian(zero, rotated(a, 2)), gaussian(zero, rotated(b, 2)))).toBeCloseTo(distance, 10);
    expect(frechet(gaussian(zero, b), gaussian(zero, a))).toBeCloseTo(distance, 10);
    expect(frechet(gaussian(zero, b), gaussian(zero, b))).toBeCloseTo(0, 10);
  });

  it('bears a covariance without width in some directions, within 1e-6', () => {
    const flat = rotated(diagonal(4, 0, 0), 0.3);
    expect(frechet(gaussian([0, 0, 0], flat), gaussian([0, 0, 1], flat))).toBeCloseTo(1, 6);
    expect(frechet(gaussian([0, 0, 0], flat), gaussian([0, 0, 0], diagonal(0, 0, 0)))).toBeCloseTo(4, 6);
  });

  it('refuses Gaussians of different size, and a single row', () => {
    const one = fitGaussian(rows(1, 1));
    expect(() => frechet(gaussian([0], [[1]]), gaussian([0, 0], diagonal(1, 1)))).toThrow('"a" expected 2 features');
    expect(() => frechet(one, gaussian([0], [[1]]))).toThrow('at least 2 rows');
  });
});

describe('fitting', () => {
  it('gives the mean and the covariance over count - 1, within 1e-12', () => {
    const { mean, scatter } = fitGaussian(rows(2, 1, 2, 3, 8, 5, 5));
    expect([...mean]).toEqual([3, 5]);
    expect(maxDifference(scatter, [8, 6, 6, 18])).toBeLessThan(1e-12);
  });

  it('is the same in parts as in one, within 1e-10', async () => {
    const { data } = randn(await createEngine(), [300, 4], { seed: 1 });
    const shifted = data.map((value, i) => value + (i % 4) * 10);
    const whole = fitGaussian(rows(4, ...shifted));
    const parts = pool([
      fitGaussian(rows(4, ...shifted.subarray(0, 28))),
      fitGaussian(rows(4, ...shifted.subarray(28))),
    ]);
    expect(parts.count).toBe(300);
    expect(maxDifference(parts.mean, whole.mean)).toBeLessThan(1e-10);
    expect(maxDifference(parts.scatter, whole.scatter)).toBeLessThan(1e-10);
  });

  it('refuses rows that are cut short or not finite', () => {
    expect(() => fitGaussian({ data: new Float32Array(7), shape: [3, 2] })).toThrow('"rows.data" expected 6 numbers');
    expect(() => fitGaussian(rows(2, 1, Number.NaN))).toThrow('"rows.data" expected finite numbers, got NaN');
  });
});

describe('the standard error of a distance', () => {
  it('is the spread of the distance over fresh samples, within 20%', async () => {
    const engine = await createEngine();
    const real = gaussian([1, 0], diagonal(1, 2));
    const runs = Array.from({ length: 200 }, (_, seed) => frechetWithError(randn(engine, [400, 2], { seed }), real));
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const distances = runs.map(({ distance }) => distance);
    const spread = Math.sqrt(mean(distances.map((d) => (d - mean(distances)) ** 2)));
    const told = mean(runs.map(({ standardError }) => standardError));
    expect(Math.abs(told / spread - 1)).toBeLessThan(0.2);
  });

  it('needs 40 rows', () => {
    const real = gaussian([0], [[1]]);
    expect(() => frechetWithError(rows(1, ...new Float32Array(39)), real)).toThrow(
      '"samples" expected at least 40 rows, got 39',
    );
  });
});

describe('frechetDistance', () => {
  it('is that of the fitted Gaussians, whichever way the reference comes', async () => {
    const engine = await createEngine();
    const [a, b] = [0, 1].map((seed) => randn(engine, [300, 5], { seed }));
    const distance = frechet(fitGaussian(a), fitGaussian(b));
    expect(frechetDistance(a, b, { standardError: false })).toEqual({ distance });
    const whole = frechetDistance(a, fitGaussian(b));
    expect(whole.distance).toBeCloseTo(distance, 10);
    expect(whole.standardError).toBeGreaterThan(0);
    expect(frechetDistance(a, a).distance).toBeCloseTo(0, 10);
  });

  it('has no error where that is dear or impossible, unless asked', async () => {
    const engine = await createEngine();
    const wide = randn(engine, [40, 257], { seed: 0 });
    expect(frechetDistance(wide, wide)).not.toHaveProperty('standardError');
    const few = randn(engine, [39, 2], { seed: 0 });
    expect(frechetDistance(few, few)).not.toHaveProperty('standardError');
    expect(() => frechetDistance(few, few, { standardError: true })).toThrow('at least 40 rows, got 39');
  });

  it('comes near the distance of the distributions: (m1 - m2)^2 D + (s1 - s2)^2 D within 4 standard errors', async () => {
    const engine = await createEngine();
    const a = randn(engine, [4000, 3], { seed: 2 });
    const b = randn(engine, [20_000, 3], { seed: 3 });
    const shifted = { data: a.data.map((x) => 2 * x + 1), shape: a.shape };
    const { distance, standardError } = frechetDistance(shifted, b);
    expect(Math.abs(distance - 6)).toBeLessThan(4 * standardError!);
    expect(standardError).toBeLessThan(0.2);
  });
});

describe('eigenSymmetric', () => {
  it('gives V diag(values) V = A and V V = 1, V being orthonormal, within 1e-12 of the size of A', () => {
    const entries = fc
      .integer({ min: 1, max: 12 })
      .chain((n) => fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: n * n, maxLength: n * n }));
    fc.assert(
      fc.property(entries, (values) => {
        const n = Math.sqrt(values.length);
        const a = Float64Array.from(values, (value, at) => value + values[(at % n) * n + Math.floor(at / n)]);
        const { values: found, vectors } = eigenSymmetric(a, n);
        const sum = (weight: (k: number) => number) =>
          a.map((_, at) => {
            const [i, j] = [Math.floor(at / n), at % n];
            return found.reduce((total, _, k) => total + weight(k) * vectors[k * n + i] * vectors[k * n + j], 0);
          });
        const size = Math.max(1, Math.hypot(...a));
        expect(
          maxDifference(
            sum((k) => found[k]),
            a,
          ),
        ).toBeLessThan(1e-12 * size);
        expect(
          maxDifference(
            sum(() => 1),
            a.map((_, at) => Number(at % (n + 1) === 0)),
          ),
        ).toBeLessThan(1e-12);
      }),
    );
  });

  it.each([5e-324, 1e-200, 1e-160, 1e200])('keeps its vectors orthonormal for entries of %s', (tiny) => {
    for (const a of [
      [0, tiny, tiny, 0],
      [1, tiny, tiny, 1],
      [tiny, 0, 0, -tiny],
    ]) {
      const { values, vectors } = eigenSymmetric(Float64Array.from(a), 2);
      const [p, q, r, s] = vectors;
      for (const length of [p * p + q * q, r * r + s * s]) expect(length).toBeCloseTo(1, 12);
      expect(p * r + q * s).toBeCloseTo(0, 12);
      const trace = a[0] + a[3];
      expect(Math.abs(values[0] + values[1] - trace)).toBeLessThanOrEqual(1e-12 * Math.max(...a.map(Math.abs)));
    }
  });

  it('refuses what is not finite', () => {
    expect(() => eigenSymmetric(Float64Array.of(1, Number.NaN, Number.NaN, 1), 2)).toThrow('expected a finite matrix');
  });
});
