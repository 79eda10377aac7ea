import { describe, expect, it } from 'vitest';
import { drawNormals, floats, type Kernels, kernels, place } from './raw.ts';

interface OdeKernels extends Kernels {
  combine(out: number, terms: number, n: number, count: number): void;
  scaledError(error: number, x: number, y: number, count: number, tolerance: number): number;
  signs(values: number, count: number, row: number): void;
  uniforms(out: number, count: number, seed: bigint, draw: number, image: bigint): void;
}

const engine = kernels() as OdeKernels;
const counts = [1, 2, 3, 7, 32, 63, 784, 1001];
const wave = (count: number, speed: number) => Float32Array.from({ length: count }, (_, i) => 3 * Math.sin(speed * i));
const room = (count: number) => place(engine, new Float32Array(Math.ceil(count / 32) * 32 + 4).fill(7));

describe('combine', () => {
  it.each(counts)(
    'is the float64 sum rounded once, bit for bit, and touches nothing past its end: %i values',
    (count) => {
      const sources = [wave(count, 1.7), wave(count, 0.3), wave(count, 2.9)];
      const weights = [1, -1e-3, 1 / 3];
      const terms = Float64Array.from(sources.flatMap((values, i) => [place(engine, values), weights[i]]));
      const out = room(count);
      engine.combine(out, place(engine, terms), 3, count);
      const expected = sources[0].map((_, i) => sources.reduce((sum, values, k) => sum + weights[k] * values[i], 0));
      expect(floats(engine, out, count)).toEqual(expected);
      expect(floats(engine, out + 4 * count, 4)).toEqual(new Float32Array(4).fill(7));
    },
  );

  it('of nothing is zero, and may go where a source is', () => {
    const x = place(engine, wave(5, 1));
    engine.combine(x, place(engine, Float64Array.of(x, 2)), 1, 5);
    expect(floats(engine, x, 5)).toEqual(wave(5, 1).map((v) => 2 * v));
    engine.combine(x, 0, 0, 5);
    expect(floats(engine, x, 5)).toEqual(new Float32Array(5));
  });
});

describe('scaledError', () => {
  it.each(counts)('is the sum of (error/(tol + tol max(|x|, |y|)))^2 within 1e-12 of itself: %i values', (count) => {
    const [error, x, y] = [wave(count, 1.1), wave(count, 0.4), wave(count, 2.3)];
    const sum = error.reduce(
      (sum, e, i) => sum + (e / (1e-5 * (1 + Math.max(Math.abs(x[i]), Math.abs(y[i]))))) ** 2,
      0,
    );
    const result = engine.scaledError(place(engine, error), place(engine, x), place(engine, y), count, 1e-5);
    expect(Math.abs(result - sum)).toBeLessThanOrEqual(1e-12 * sum);
  });
});

describe('signs', () => {
  it('makes probes of +-1 of which any two of 16 rows are orthogonal', () => {
    const probes = Array.from({ length: 16 }, (_, row) => {
      const at = place(engine, drawNormals(engine, 1, 16, { seed: 9n }));
      engine.signs(at, 16, row);
      return floats(engine, at, 16);
    });
    expect(probes.flatMap((probe) => [...probe]).every((v) => v === 1 || v === -1)).toBe(true);
    for (const [i, a] of probes.entries())
      for (const [j, b] of probes.entries()) expect(a.reduce((sum, v, k) => sum + v * b[k], 0)).toBe(i === j ? 16 : 0);
  });

  it('has the signs of the deviates in row 0', () => {
    const values = drawNormals(engine, 1, 1001);
    const at = place(engine, values);
    engine.signs(at, 1001, 0);
    expect(floats(engine, at, 1001)).toEqual(values.map(Math.sign));
  });
});

describe('uniforms', () => {
  it.each(counts)('are the words of Philox over 2^32, in the order that normals take them in: %i values', (count) => {
    const [seed, draw, image] = [123n, 0xffffffff, 5n];
    const out = room(count);
    engine.uniforms(out, count, seed, draw, image);
    const words = room(4);
    floats(engine, out, count).forEach((value, i) => {
      // element 16g + 4o + lane is output o of block 4g + lane
      engine.philox(words, seed, 4 * (i >> 4) + (i & 3), draw, Number(image), 0);
      const word = new Int32Array(engine.memory.buffer, words, 4)[(i >> 2) & 3];
      expect(value).toBe(Math.fround(Math.fround(word) * 2 ** -32));
    });
  });

  it('of 100,000 have mean 0 and variance 1/12 within 4 standard errors', () => {
    const count = 100_000;
    const out = place(engine, new Float32Array(count + 32));
    engine.uniforms(out, count, 1n, 0, 0n);
    const values = floats(engine, out, count);
    const mean = values.reduce((sum, v) => sum + v, 0) / count;
    const variance = values.reduce((sum, v) => sum + v * v, 0) / count;
    expect(Math.abs(mean)).toBeLessThan(4 * Math.sqrt(1 / 12 / count));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(4 * Math.sqrt(1 / 180 / count));
  });
});
