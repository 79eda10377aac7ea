import { describe, expect, it } from 'vitest';
import {
  addNoise,
  createEngine,
  createSchedule,
  forwardStep,
  posterior,
  posteriorMeanFromNoise,
  predictNoise,
  predictStart,
  randn,
  type Tensor,
  velocity,
} from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';

const engine = await createEngine();
const schedule = createSchedule(engine, {});
const { alphas, alphasCumprod: abar, betas } = schedule;
const shape = [3, 2, 5, 5];
const x0 = randn(engine, shape, { seed: 1 });
const noise = randn(engine, shape, { seed: 2 });
const other = randn(engine, shape, { seed: 3 });

const same = (value: number): Tensor => ({ data: new Float32Array(20_000).fill(value), shape: [20_000] });
const white = (seed: number) => randn(engine, [20_000, 1], { seed });
const scalar = (tensor: Tensor) => ({ ...tensor, shape: [20_000] });

describe('the forward process', () => {
  it('x_t = sqrt(abar) x_0 + sqrt(1-abar) noise (eq. 4), each image at its own t, within 1e-6', () => {
    const t = [0, 500, 999];
    const expected = x0.data.map((v, i) => {
      const a = abar[t[Math.floor(i / 50)]];
      return Math.sqrt(a) * v + Math.sqrt(1 - a) * noise.data[i];
    });
    expect(maxDifference(addNoise(schedule, x0, t, noise).data, expected)).toBeLessThan(1e-6);
  });

  it('a jump from s to t after one to s has the variance of one jump to t (eq. 5), within 1e-12 a weight', () => {
    const [s, t] = [200, 700];
    const [signal, rest] = [Math.sqrt(abar[t] / abar[s]), 1 - abar[t] / abar[s]];
    expect(signal * Math.sqrt(abar[s])).toBeCloseTo(Math.sqrt(abar[t]), 12);
    expect(signal ** 2 * (1 - abar[s]) + rest).toBeCloseTo(1 - abar[t], 12);
    const jump = addNoise(schedule, addNoise(schedule, x0, s, noise), t, other, { from: s });
    const expected = x0.data.map((v, i) => {
      const xs = Math.sqrt(abar[s]) * v + Math.sqrt(1 - abar[s]) * noise.data[i];
      return signal * xs + Math.sqrt(rest) * other.data[i];
    });
    expect(maxDifference(jump.data, expected)).toBeLessThan(1e-6);
  });

  it('one step at a time (eq. 2) comes to the mean and variance of the jump (eq. 4): 20,000 values within 4 standard errors', () => {
    let x = same(0.8);
    for (let t = 0; t < 100; t++) x = forwardStep(schedule, x, t, scalar(white(10 + t)));
    const mean = x.data.reduce((sum, v) => sum + v, 0) / 20_000;
    const variance = x.data.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 20_000;
    const expected = 1 - abar[99];
    expect(Math.abs(mean - Math.sqrt(abar[99]) * 0.8)).toBeLessThan(4 * Math.sqrt(expected / 20_000));
    expect(Math.abs(variance / expected - 1)).toBeLessThan(4 * Math.sqrt(2 / 20_000));
  });

  it('predictStart and predictNoise undo it within 1e-4 at t = 600', () => {
    const xt = addNoise(schedule, x0, 600, noise);
    expect(maxDifference(predictStart(schedule, xt, 600, noise).data, x0.data)).toBeLessThan(1e-4);
    expect(maxDifference(predictNoise(schedule, xt, 600, x0).data, noise.data)).toBeLessThan(1e-4);
  });

  it('the velocity is the derivative of x_t by its angle: sqrt(abar) noise - sqrt(1-abar) x_0, within 1e-6', () => {
    const expected = x0.data.map((v, i) => Math.sqrt(abar[300]) * noise.data[i] - Math.sqrt(1 - abar[300]) * v);
    expect(maxDifference(velocity(schedule, x0, 300, noise).data, expected)).toBeLessThan(1e-6);
  });
});

describe('the posterior q(x_{t-1} given x_t, x_0)', () => {
  it('is Bayes’ rule on (2) and (4): variance and mean within 1e-9 in float64, 1e-3 with float32 tables', () => {
    for (const t of [1, 10, 500, 999]) {
      // the product of N(x_t; sqrt(alpha) x, beta) and N(x; sqrt(abar') x_0, 1-abar') in x
      const precision = alphas[t] / betas[t] + 1 / (1 - abar[t - 1]);
      const variance = 1 / precision;
      expect(schedule.posteriorVariance[t] / variance).toBeCloseTo(1, 3); // beta and abar are float32 values
      expect(schedule.posteriorMeanCoef1[t]).toBeCloseTo((variance * Math.sqrt(abar[t - 1])) / (1 - abar[t - 1]), 3);
      expect(schedule.posteriorMeanCoef2[t]).toBeCloseTo((variance * Math.sqrt(alphas[t])) / betas[t], 3);
    }
    const exact = createSchedule(engine, {}, { precision: 'float64' });
    for (const t of [1, 10, 500, 999]) {
      const before = exact.alphasCumprod[t - 1];
      const variance = 1 / (exact.alphas[t] / exact.betas[t] + 1 / (1 - before));
      expect(exact.posteriorVariance[t] / variance).toBeCloseTo(1, 9);
      expect(exact.posteriorMeanCoef1[t]).toBeCloseTo((variance * Math.sqrt(before)) / (1 - before), 9);
      expect(exact.posteriorMeanCoef2[t]).toBeCloseTo((variance * Math.sqrt(exact.alphas[t])) / exact.betas[t], 9);
    }
  });

  it('has the same mean from the noise (eq. 9) as from x_0 (eq. 8): < 1e-12 a weight in float64', () => {
    const { alphas, alphasCumprod, betas, posteriorMeanCoef1, posteriorMeanCoef2 } = createSchedule(
      engine,
      {},
      { precision: 'float64' },
    );
    for (let t = 1; t < 1000; t++) {
      // x_0 = (x_t - sqrt(1-abar) noise) / sqrt(abar) put into the first form
      const signal = Math.sqrt(alphasCumprod[t]);
      const ofXt = posteriorMeanCoef1[t] / signal + posteriorMeanCoef2[t];
      const ofNoise = (-posteriorMeanCoef1[t] * Math.sqrt(1 - alphasCumprod[t])) / signal;
      expect(Math.abs(ofXt - 1 / Math.sqrt(alphas[t]))).toBeLessThan(1e-12);
      expect(Math.abs(ofNoise + betas[t] / Math.sqrt(1 - alphasCumprod[t]) / Math.sqrt(alphas[t]))).toBeLessThan(1e-12);
    }
  });

  it('gives tensors that agree within 1e-4, and its variances an image', () => {
    const xt = addNoise(schedule, x0, [5, 500, 900], noise);
    const { mean, variance, logVarianceClipped } = posterior(schedule, x0, xt, [5, 500, 900]);
    const fromNoise = posteriorMeanFromNoise(schedule, xt, [5, 500, 900], noise);
    expect(maxDifference(mean.data, fromNoise.data)).toBeLessThan(1e-4);
    expect([...variance]).toEqual([5, 500, 900].map((t) => schedule.posteriorVariance[t]));
    expect([...logVarianceClipped]).toEqual([5, 500, 900].map((t) => schedule.posteriorLogVarianceClipped[t]));
  });
});

describe('arguments are checked by name', () => {
  it.each([
    [() => addNoise(schedule, x0, 1000, noise), RangeError, '"t" expected an integer in 0..999, got 1000'],
    [() => addNoise(schedule, x0, [1, 2], noise), RangeError, '"t" expected one timestep or 3, got [1, 2]'],
    [() => addNoise(schedule, x0, 0.5, noise), RangeError, '"t"'],
    [
      () => addNoise(schedule, x0, 5, { ...noise, shape: [150] }),
      RangeError,
      '"noise.shape" expected [3, 2, 5, 5], got [150]',
    ],
    [
      () => addNoise(schedule, x0, 5, noise, { from: 5 }),
      RangeError,
      '"t" expected a timestep after "from" (5), got 5',
    ],
    [
      () => addNoise(schedule, { data: [1], shape: [1] } as unknown as Tensor, 5, noise),
      TypeError,
      '"x" expected a tensor',
    ],
  ])('%#', (attempt, kind, message) => {
    expect(attempt).toThrow(kind);
    expect(attempt).toThrow(message);
  });
});
