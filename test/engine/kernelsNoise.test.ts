import { describe, expect, it } from 'vitest';
import { normalReference, philoxReference } from './noiseReference.ts';
import { allocate, drawNormals, kernels } from './raw.ts';
import { differences } from './stepReference.ts';

const engine = kernels();

function philox(key: bigint, counter: readonly number[]): number[] {
  const mark = engine.mark();
  const out = allocate(engine, 16);
  engine.philox(out, key, counter[0], counter[1], counter[2], counter[3]);
  engine.reset(mark);
  return [...new Uint32Array(engine.memory.buffer, out, 4)];
}

describe('philox equals the known answers of Random123 (kat_vectors, philox4x32 10)', () => {
  it.each([
    [[0, 0, 0, 0], 0n, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      0xffffffffffffffffn,
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      0x299f31d0a4093822n,
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('counter %j', (counter, key, words) => {
    expect(philox(key, counter)).toEqual(words);
    expect(philoxReference(key, counter)).toEqual(words);
  });
});

describe('normals', () => {
  const cases: [number, bigint, number, bigint][] = [
    [1, 0n, 0, 0n],
    [5, 1n, 1, 0n],
    [16, 42n, 7, 3n],
    [37, 0xffffffffffffffffn, 0xffffffff, 0xffffffffffffffffn],
    [100, 0x123456789abcdef0n, 0x80000000, 0x100000000n],
    [2051, 7n, 1000, 63n],
  ];

  it.each(cases)(
    '%i elements equal the definition in float64 within 3.5e-7 of their radius, seed %i, draw %i, image %i',
    (pixels, seed, draw, first) => {
      const values = drawNormals(engine, 1, pixels, { seed, draw, first });
      for (let i = 0; i < pixels; i++) {
        const [expected, radius] = normalReference(seed, draw, first, i);
        expect(Math.abs(values[i] - expected)).toBeLessThanOrEqual(3.5e-7 * radius);
      }
    },
  );

  it('200000 elements are within 3.5e-7 of their radius, and within 6e-8 of it in the root mean square', () => {
    const values = drawNormals(engine, 1, 200_000, { seed: 8n, draw: 3, first: 5n });
    let [worst, squares] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const [expected, radius] = normalReference(8n, 3, 5n, i, philox);
      const error = (values[i] - expected) / radius;
      worst = Math.max(worst, Math.abs(error));
      squares += error ** 2;
    }
    expect(worst).toBeLessThan(3.5e-7);
    expect(Math.sqrt(squares / values.length)).toBeLessThan(6e-8);
  });

  it('image k of a batch is image k alone, whatever the size, bit for bit', () => {
    for (const pixels of [1, 15, 16, 17, 31, 32, 33, 47, 784, 1023]) {
      const batch = drawNormals(engine, 5, pixels, { seed: 3n, draw: 2, first: 10n });
      for (let k = 0; k < 5; k++) {
        const alone = drawNormals(engine, 1, pixels, { seed: 3n, draw: 2, first: 10n + BigInt(k) });
        expect(differences(batch.slice(k * pixels, (k + 1) * pixels), alone)).toEqual([]);
      }
    }
  });

  it('an element does not depend on how many follow it, bit for bit', () => {
    const long = drawNormals(engine, 1, 200, { seed: 5n });
    for (let pixels = 1; pixels < 200; pixels++) {
      expect(differences(drawNormals(engine, 1, pixels, { seed: 5n }), long.slice(0, pixels))).toEqual([]);
    }
  });

  it('writes nothing past its end', () => {
    const out = allocate(engine, 4 * 64);
    for (let pixels = 0; pixels < 50; pixels++) {
      const view = new Float32Array(engine.memory.buffer, out, 64).fill(9);
      engine.normals(out, 1, pixels, 1n, 0, 0n);
      expect(view.subarray(pixels).every((value) => value === 9)).toBe(true);
    }
  });
});

describe('a million deviates are standard normal', () => {
  const count = 1_000_000;
  const z = drawNormals(engine, 1, count, { seed: 2024n });
  const mean = (of: (value: number, index: number) => number) =>
    z.reduce((sum, value, i) => sum + of(value, i), 0) / count;

  it('mean 0 within 0.004 (4 standard errors)', () => {
    expect(Math.abs(mean((v) => v))).toBeLessThan(0.004);
  });

  it('variance 1 within 0.0057, skewness 0 within 0.0155, fourth moment 3 within 0.0392 (4 standard errors)', () => {
    expect(Math.abs(mean((v) => v ** 2) - 1)).toBeLessThan(0.0057);
    expect(Math.abs(mean((v) => v ** 3))).toBeLessThan(0.0155);
    expect(Math.abs(mean((v) => v ** 4) - 3)).toBeLessThan(0.0392);
  });

  it.each([
    [2, 45500.26],
    [3, 2699.8],
    [4, 63.34],
  ])('beyond %d deviations there are %d within 4 of its square roots', (limit, expected) => {
    const found = z.reduce((sum, value) => sum + (Math.abs(value) > limit ? 1 : 0), 0);
    expect(Math.abs(found - expected)).toBeLessThan(4 * Math.sqrt(expected));
  });

  it('the Kolmogorov-Smirnov distance is below 1.95/sqrt(n) (p = 0.001)', () => {
    const sorted = z.slice().sort();
    let distance = 0;
    for (let i = 0; i < count; i++) {
      const p = normalCdf(sorted[i]);
      distance = Math.max(distance, Math.abs(p - i / count), Math.abs(p - (i + 1) / count));
    }
    expect(distance).toBeLessThan(1.95 / Math.sqrt(count));
  });

  it('all four quadrants and both axes of a pair are equally likely within 4 standard errors', () => {
    const cells = new Float64Array(8);
    for (let i = 0; i < count; i += 8) {
      for (let lane = i; lane < i + 4; lane++) {
        const [x, y] = [z[lane], z[lane + 4]];
        cells[(x < 0 ? 1 : 0) + (y < 0 ? 2 : 0) + (Math.abs(x) < Math.abs(y) ? 4 : 0)]++;
      }
    }
    const expected = count / 16;
    for (const cell of cells) expect(Math.abs(cell - expected)).toBeLessThan(4 * Math.sqrt(expected * (7 / 8)));
  });
});

describe('a million deviates are independent: correlation of values and of squares below 0.004 (4 standard errors)', () => {
  const count = 1_000_000;
  const z = drawNormals(engine, 1, count, { seed: 11n, draw: 4, first: 6n });

  it.each([1, 2, 3, 4, 8, 12, 16, 64])('%i elements apart', (lag) => {
    expectIndependent(z.subarray(lag), z.subarray(0, count - lag));
  });

  it.each([
    ['draws', { seed: 11n, draw: 5, first: 6n }],
    ['images', { seed: 11n, draw: 4, first: 7n }],
    ['seeds', { seed: 12n, draw: 4, first: 6n }],
    ['high seed words', { seed: 11n + (1n << 32n), draw: 4, first: 6n }],
    ['high image words', { seed: 11n, draw: 4, first: 6n + (1n << 32n) }],
  ])('neighbouring %s', (_, options) => {
    expectIndependent(z, drawNormals(engine, 1, count, options));
  });
});

function expectIndependent(a: Float32Array, b: Float32Array): void {
  let [values, squares] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    values += a[i] * b[i];
    squares += (a[i] ** 2 - 1) * (b[i] ** 2 - 1);
  }
  expect(Math.abs(values / a.length)).toBeLessThan(0.004);
  expect(Math.abs(squares / a.length / 2)).toBeLessThan(0.004);
}

// by Simpson's rule from 0 on a table of 0.001 steps, then the local Taylor term: far below the test's resolution of 1e-6
const STEP = 0.001;
const density = (x: number) => Math.exp(-x * x * 0.5) / Math.sqrt(2 * Math.PI);
const table = new Float64Array(8001);
for (let i = 1; i < table.length; i++) {
  const x = i * STEP;
  table[i] = table[i - 1] + (STEP / 6) * (density(x - STEP) + 4 * density(x - STEP / 2) + density(x));
}

function normalCdf(x: number): number {
  const i = Math.round(Math.abs(x) / STEP);
  const h = Math.abs(x) - i * STEP;
  const half = table[i] + density(i * STEP) * (h - (i * STEP * h * h) / 2);
  return x < 0 ? 0.5 - half : 0.5 + half;
}
