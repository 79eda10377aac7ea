import { describe, expect, it } from 'vitest';
import { floats, type Kernels, kernels, place } from './raw.ts';

interface LossKernels extends Kernels {
  squaredError(x: number, cx: number, y: number, cy: number, z: number, count: number): number;
  crossEntropy(
    x: number,
    y: number,
    scale: number,
    variance: number,
    v: number,
    p: number,
    q: number,
    count: number,
  ): number;
  discretized(x: number, mean: number, v: number, p: number, q: number, count: number): number;
  spreads(out: number, v: number, p: number, q: number, count: number, exponential: boolean): void;
  logs(out: number, v: number, count: number): void;
}

const engine = kernels() as LossKernels;
const counts = [1, 2, 3, 4, 7, 63, 784, 1001];
const wave = (count: number, speed: number, size = 1) =>
  Float32Array.from({ length: count }, (_, i) => size * Math.sin(speed * (i + 1)));
/** In memory whose next values would spoil any sum. */
const poisoned = (values: Float32Array) => place(engine, Float32Array.of(...values, Number.NaN));
const sum = (count: number, term: (i: number) => number) =>
  Array.from({ length: count }, (_, i) => term(i)).reduce((a, b) => a + b, 0);

describe.each(counts)('over %i values, two at a time in float64', (count) => {
  const [x, y, z] = [wave(count, 1.7), wave(count, 0.3, 2), wave(count, 2.9)];
  const pointers = [x, y, z].map(poisoned);
  const [p, q] = [-3, 2.5];

  it('squaredError is the sum of (cx*x + cy*y - z)^2 to 1e-14 of itself', () => {
    const expected = sum(count, (i) => (0.7 * x[i] - 1.3 * y[i] - z[i]) ** 2);
    const [px, py, pz] = pointers;
    expect(engine.squaredError(px, 0.7, py, -1.3, pz, count) / expected).toBeCloseTo(1, 14);
  });

  it('crossEntropy is the sum of lv + (variance + scale*(x - y)^2)/e^lv to 1e-12 of its terms', () => {
    const terms = (i: number) => {
      const lv = p + q * z[i];
      return [lv, (0.4 + 1.9 * (x[i] - y[i]) ** 2) / Math.exp(lv)];
    };
    const size = sum(count, (i) => Math.abs(terms(i)[0]) + terms(i)[1]);
    const expected = sum(count, (i) => terms(i)[0] + terms(i)[1]);
    const [px, py, pz] = pointers;
    const found = engine.crossEntropy(px, py, 1.9, 0.4, pz, p, q, count);
    expect(Math.abs(found - expected) / size).toBeLessThan(1e-12);
  });

  it('spreads are p + q*v and its exponential, logs are ln max(v, 1e-20): float32, within 1e-7 of themselves', () => {
    const lines = place(engine, new Float32Array(count + 4));
    const variances = place(engine, new Float32Array(count + 4));
    const logarithms = place(engine, new Float32Array(count + 4));
    engine.spreads(lines, pointers[2], p, q, count, false);
    engine.spreads(variances, pointers[2], p, q, count, true);
    engine.logs(logarithms, pointers[2], count);
    const [line, variance, logarithm] = [lines, variances, logarithms].map((at) => floats(engine, at, count));
    for (let i = 0; i < count; i++) {
      expect(line[i] / (p + q * z[i])).toBeCloseTo(1, 6);
      expect(Math.abs(variance[i] / Math.exp(p + q * z[i]) - 1)).toBeLessThan(1e-7);
      expect(Math.abs(logarithm[i] / Math.log(Math.max(z[i], 1e-20)) - 1)).toBeLessThan(1e-7);
    }
  });

  it('discretized is the sum of the log-masses of bins between float32 cdfs to 1e-6 of itself', () => {
    const images = Float32Array.from({ length: count }, (_, i) => ((i * 37) % 256) / 127.5 - 1);
    const means = images.map((value, i) => value + 0.02 * x[i]);
    const expected = sum(count, (i) => logLikelihood(images[i], means[i], p - 4 + q * z[i]));
    const found = engine.discretized(place(engine, images), place(engine, means), pointers[2], p - 4, q, count);
    // where e^2u - 1 and tanh u round to different float32 numbers a likelihood changes by 6e-8
    expect(Math.abs(found / expected - 1)).toBeLessThan(1e-6);
  });
});

describe('what is out of reach', () => {
  it('likelihoods are at least 1e-12, and those of certain bins 1', () => {
    const at = (...values: number[]) => place(engine, Float32Array.from(values));
    expect(engine.discretized(at(0), at(1), at(0), -10, 0, 1)).toBeCloseTo(Math.log(1e-12), 12);
    expect(engine.discretized(at(-1, 1), at(-40, 40), at(0, 0), -10, 0, 2)).toBe(0);
    expect(engine.discretized(at(0), at(0), at(0), -40, 0, 1)).toBe(0);
  });

  it('exponents beyond 700 stay at 700', () => {
    const v = place(engine, Float32Array.of(0, 0));
    expect(engine.crossEntropy(v, v, 1, 1, v, -2000, 0, 2) / (2 * Math.exp(700))).toBeCloseTo(1, 12);
    expect(engine.crossEntropy(v, v, 1, 1, v, 2000, 0, 2)).toBe(4000);
  });
});

/** The likelihood of the bin around an 8-bit value as OpenAI's code has it. */
function logLikelihood(x: number, mean: number, logVariance: number): number {
  const cdf = (d: number) => {
    const z = d * Math.exp(-logVariance / 2);
    return 0.5 * Math.fround(1 + Math.fround(Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3))));
  };
  const above = x > 0.999 ? 1 : cdf(x - mean + 1 / 255);
  const below = x < -0.999 ? 0 : cdf(x - mean - 1 / 255);
  return Math.log(Math.max(above - below, 1e-12));
}
