import { describe, expect, it } from 'vitest';
import { createEngine, createSchedule, discretizedLogLikelihood, normalKl } from '../../src/index.ts';
import { byteImages } from '../support/evaluation.ts';

const engine = await createEngine();

describe('normalKl (eq. 14)', () => {
  it('is log(s2/s1) + (s1^2 + (m1-m2)^2)/(2 s2^2) - 1/2 to 1e-13, and what the integral gives to 1e-9', () => {
    for (const [m1, s1, m2, s2] of [
      [0, 1, 0, 1],
      [0.3, 0.5, -1, 2],
      [2, 1.5, 0, 0.4],
    ]) {
      const kl = normalKl(m1, 2 * Math.log(s1), m2, 2 * Math.log(s2));
      expect(kl).toBeCloseTo(Math.log(s2 / s1) + (s1 ** 2 + (m1 - m2) ** 2) / (2 * s2 ** 2) - 0.5, 13);
      const log = (x: number, m: number, s: number) => -0.5 * ((x - m) / s) ** 2 - Math.log(s * Math.sqrt(2 * Math.PI));
      let sum = 0;
      for (let x = m1 - 12 * s1; x < m1 + 12 * s1; x += s1 / 64)
        sum += ((Math.exp(log(x, m1, s1)) * s1) / 64) * (log(x, m1, s1) - log(x, m2, s2));
      expect(Math.abs(kl - sum)).toBeLessThan(1e-9);
    }
  });

  it('keeps nine digits where the variances are nearly the same', () => {
    // r^2/4 + r^3/12 with r = log(s1^2/s2^2)
    expect(normalKl(0, 1e-6, 0, 0) / (2.5e-13 + 1e-18 / 12)).toBeCloseTo(1, 9);
    expect(normalKl(5, -7, 5, -7)).toBe(0);
  });
});

describe('discretizedLogLikelihood', () => {
  it('of all 256 values sums to one at any mean and variance, to 1e-6', () => {
    const x0 = { data: Float32Array.from({ length: 256 }, (_, i) => Math.fround(i / 127.5) - 1), shape: [256, 1] };
    for (const [mu, logVariance] of [
      [0.1, -6],
      [0.99, -3],
      [-1.2, -1],
      [0, 0],
    ]) {
      const mean = { data: new Float32Array(256).fill(mu), shape: [256, 1] };
      const total = discretizedLogLikelihood(engine, x0, { mean, logVariance }).reduce(
        (sum, l) => sum + Math.exp(l),
        0,
      );
      expect(Math.abs(total - 1)).toBeLessThan(1e-6);
    }
  });

  it('is the density times the width of a bin where that is small: the tanh is within 2% of the normal cdf', () => {
    const x0 = byteImages([4, 1, 4, 4]);
    const mean = { ...x0, data: x0.data.map((x, i) => 0.9 * x + 0.01 * Math.sin(i)) };
    const each = discretizedLogLikelihood(
      engine,
      { ...x0, shape: [64] },
      { mean: { ...mean, shape: [64] }, logVariance: -3 },
    );
    for (const [i, found] of each.entries()) {
      const x = x0.data[i];
      if (Math.abs(x) > 0.99) continue;
      const density = -0.5 * (Math.log(2 * Math.PI) - 3 + (x - mean.data[i]) ** 2 / Math.exp(-3));
      expect(Math.abs(found - density - Math.log(2 / 255))).toBeLessThan(0.02);
    }
    // an image's is the sum over its pixels, a tensor of log-variances the same as one number
    const logVariance = { data: new Float32Array(64).fill(-3), shape: x0.shape };
    const images = discretizedLogLikelihood(engine, x0, { mean, logVariance });
    for (const [i, found] of images.entries())
      expect(found).toBeCloseTo(
        each.slice(16 * i, 16 * i + 16).reduce((a, b) => a + b, 0),
        9,
      );
  });

  it('names the argument that does not fit', () => {
    const x0 = byteImages([1, 4]);
    expect(() => discretizedLogLikelihood(engine, x0, { mean: byteImages([1, 5]), logVariance: 0 })).toThrow(
      '"mean.shape" expected [1, 4], got [1, 5]',
    );
    expect(() => discretizedLogLikelihood(engine, x0, { mean: x0, logVariance: Number.NaN })).toThrow('"logVariance"');
  });
});

describe('a schedule', () => {
  it('has the weights of (16), beta^2 / (2 sigma^2 alpha (1-abar)): (14) on the two means for one unit of error, to 1e-9', () => {
    for (const variance_type of ['fixed_small', 'fixed_large', 'learned_range']) {
      const schedule = createSchedule(engine, { variance_type }, { precision: 'float64' });
      const { alphas, alphasCumprod, betas, posteriorMeanCoef1, posteriorVariance, vlbWeights } = schedule;
      for (let t = 1; t < 1000; t++) {
        const variance = variance_type === 'fixed_large' ? betas[t] : posteriorVariance[t];
        const formula = betas[t] ** 2 / (2 * variance * alphas[t] * (1 - alphasCumprod[t]));
        expect(vlbWeights[t] / formula).toBeCloseTo(1, 12);
        // one unit of noise is sqrt((1-abar)/abar) of the start
        const distance = posteriorMeanCoef1[t] * Math.sqrt((1 - alphasCumprod[t]) / alphasCumprod[t]);
        expect(vlbWeights[t] / normalKl(distance, Math.log(variance), 0, Math.log(variance))).toBeCloseTo(1, 9);
      }
      expect(vlbWeights[0] / (betas[0] / (2 * posteriorVariance[1] * alphas[0]))).toBeCloseTo(1, 9);
    }
  });

  it('knows its end (eq. 6): abar, SNR, and the KL of an image of mean square 1 in bits, to 1e-12', () => {
    const { terminal, alphasCumprod } = createSchedule(engine, {});
    const abar = alphasCumprod[999];
    expect(terminal.alphaCumprod).toBe(abar);
    expect(terminal.snr).toBeCloseTo(abar / (1 - abar), 15);
    expect(terminal.kl / (normalKl(Math.sqrt(abar), Math.log1p(-abar), 0, 0) / Math.LN2)).toBeCloseTo(1, 11);
    const empty = createSchedule(engine, { rescale_betas_zero_snr: true, prediction_type: 'v_prediction' });
    expect(empty.terminal).toEqual({ alphaCumprod: 0, snr: 0, kl: 0 });
  });
});
