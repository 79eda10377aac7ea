import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readIdx } from '../../bench/quality/idx.ts';
import { memorization } from '../../src/metrics/memorization.ts';
import { nearestNeighbors } from '../../src/metrics/neighbors.ts';
import { fitProjection, slackOf } from '../../src/metrics/projection.ts';
import type { Rows } from '../../src/metrics/rows.ts';
import { distance, normalRows, rowOf, twoSets } from './points.ts';

function bruteForce(queries: Rows, training: Rows) {
  const found = Array.from({ length: queries.shape[0] }, (_, i) => {
    const all = Array.from({ length: training.shape[0] }, (_, j) => distance(rowOf(queries, i), rowOf(training, j)));
    const least = Math.min(...all);
    return { index: all.indexOf(least), least };
  });
  return {
    indices: Int32Array.from(found, ({ index }) => index),
    distances: Float64Array.from(found, ({ least }) => least),
  };
}

/** Rows of many numbers that lie near a plane of few dimensions, as images do, or in it. */
function images(count: number, { seed, noise }: { seed: number; noise: number }): Rows {
  const [dims, inner] = [150, 6];
  const plane = normalRows(inner, dims, { seed: 99 });
  const [weights, rest] = [
    normalRows(count, inner, { seed }),
    normalRows(count, dims, { seed: seed + 1, scale: noise }),
  ];
  const data = rest.data.map((value, at) => {
    const [row, column] = [Math.floor(at / dims), at % dims];
    let sum = value;
    for (let k = 0; k < inner; k++) sum += weights.data[row * inner + k] * plane.data[k * dims + column];
    return sum;
  });
  return { data, shape: [count, dims] };
}

describe('nearestNeighbors', () => {
  it('finds what brute force finds, the first of several as near', () => {
    fc.assert(
      fc.property(twoSets({ least: 1, most: 80, integer: true }), ([a, b]) => {
        expect(nearestNeighbors(a, b)).toEqual(bruteForce(a, b));
      }),
      { numRuns: 40 },
    );
  });

  it.each([1, 0.1, 0])(
    'and in 150 dimensions, where bounds rule out most, with noise %s around a plane of 6',
    (noise) => {
      const [queries, training] = [images(60, { seed: 1, noise }), images(300, { seed: 3, noise })];
      expect(nearestNeighbors(queries, training)).toEqual(bruteForce(queries, training));
    },
  );

  it('takes images as they are, and finds a copy at distance 0', () => {
    const training = {
      data: Uint8Array.from({ length: 20 * 2 * 6 * 6 }, (_, i) => (i * 37 + Math.floor(i / 72) ** 2) % 251),
      shape: [20, 2, 6, 6],
    };
    const queries = { data: training.data.slice(13 * 72, 15 * 72), shape: [2, 2, 6, 6] };
    expect(nearestNeighbors(queries, training)).toEqual({
      indices: Int32Array.of(13, 14),
      distances: Float64Array.of(0, 0),
    });
  });

  it('refuses rows of another length, and images with their type changed', () => {
    expect(() => nearestNeighbors(normalRows(2, 3), normalRows(2, 4))).toThrow(
      '"training" expected rows of 3 numbers, got 4',
    );
    const bytes = { data: new Uint8Array(6), shape: [2, 3] };
    expect(() => nearestNeighbors(normalRows(2, 3), bytes)).toThrow('"training.data" expected floats');
  });
});

describe('the projection', () => {
  it('makes no distance longer than its slack, and hardly shorter along the plane', () => {
    for (const noise of [1, 0.1, 0]) {
      const [a, b] = [images(40, { seed: 1, noise }), images(50, { seed: 3, noise })];
      const project = fitProjection(b);
      const [left, right] = [project(a), project(b)];
      const [own, other] = [slackOf(left), slackOf(right)];
      expect(left.shape[1]).toBeLessThanOrEqual(33);
      let [worst, ratio] = [0, 0];
      for (let i = 0; i < 40; i++)
        for (let j = 0; j < 50; j++) {
          const [true2, bound2] = [
            distance(rowOf(a, i), rowOf(b, j)) ** 2,
            distance(rowOf(left, i), rowOf(right, j)) ** 2,
          ];
          worst = Math.max(worst, bound2 - true2 - own[i] - other[j]);
          ratio += bound2 / true2 / 2000;
        }
      expect(worst).toBeLessThanOrEqual(0);
      if (noise < 1) expect(ratio).toBeGreaterThan(0.95);
    }
  });
});

describe('memorization', () => {
  const training = normalRows(800, 4, { seed: 1 });
  const heldOut = normalRows(400, 4, { seed: 2 });

  it('is about 0.5 and 0.01 for fresh samples, 1 and 1 for copies, and 0 for samples far off', () => {
    const fresh = memorization({ samples: normalRows(1000, 4, { seed: 3 }), training, heldOut });
    expect(Math.abs(fresh.nearer - 0.5)).toBeLessThan(0.06);
    expect(fresh.copies).toBeLessThan(0.03);
    const copied = memorization({ samples: { data: training.data.slice(0, 400), shape: [100, 4] }, training, heldOut });
    expect(copied).toMatchObject({ nearer: 1, copies: 1 });
    expect([...copied.samples.distances]).toEqual(Array(100).fill(0));
    const far = memorization({ samples: normalRows(100, 4, { seed: 4, shift: 20 }), training, heldOut });
    expect(far).toMatchObject({ nearer: 0, copies: 0 });
  });

  it('has limits at the median and the 1st percentile of the held-out distances', () => {
    const { limits, heldOut: found } = memorization({ samples: heldOut, training, heldOut });
    const sorted = [...found.distances].sort((a, b) => a - b);
    expect(limits.nearer).toBeCloseTo((sorted[199] + sorted[200]) / 2, 12);
    expect(limits.copies).toBeCloseTo(sorted[3] + 0.99 * (sorted[4] - sorted[3]), 12);
    expect(found).toEqual(nearestNeighbors(heldOut, training));
  });

  it('tells how many of the samples are copies, within 0.02', () => {
    const fresh = normalRows(900, 4, { seed: 5 });
    const samples = { data: Float32Array.of(...fresh.data, ...training.data.subarray(0, 400)), shape: [1000, 4] };
    expect(Math.abs(memorization({ samples, training, heldOut }).copies - 0.1)).toBeLessThan(0.02);
  });

  it('refuses a yardstick of 99 images', () => {
    expect(() => memorization({ samples: heldOut, training, heldOut: normalRows(99, 4) })).toThrow(
      '"heldOut" expected at least 100 rows, got 99',
    );
  });
});

const folder = '../shared/data/fashion-mnist';

describe.skipIf(!existsSync(folder))('on Fashion-MNIST', () => {
  it('finds in pixels what brute force finds, for 3 test images among 1,500 training images', () => {
    const set = (name: string, count: number): Rows => {
      const { data } = readIdx(readFileSync(`${folder}/${name}-images-idx3-ubyte.gz`));
      return { data: data.subarray(0, count * 784), shape: [count, 1, 28, 28] };
    };
    const [test, train] = [set('t10k', 3), set('train', 1500)];
    expect(nearestNeighbors(test, train)).toEqual(bruteForce(test, train));
  });
});
