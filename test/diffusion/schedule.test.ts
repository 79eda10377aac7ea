import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEngine, createSchedule } from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';

const engine = await createEngine();

/** The first 16 hex digits of the SHA-256 of the values as little-endian float32. */
function hash(values: Float64Array): string {
  return createHash('sha256')
    .update(Buffer.from(Float32Array.from(values).buffer))
    .digest('hex')
    .slice(0, 16);
}

describe('float32 tables have the hashes of diffusers’', () => {
  it.each([
    ['linear', {}, 'b5555536933367c4', 'a455de8584c2913e'],
    ['scaled_linear', { beta_start: 0.00085, beta_end: 0.012 }, 'b0c6833c866f3aae', 'f19a556ef5f4eb08'],
    ['squaredcos_cap_v2', {}, 'f32ff0b43921c312', 'ee9cd3d5d1b98fa4'],
    ['sigmoid', {}, '03393b4003d39b4c', '9766fa22e804e401'],
    ['laplace', {}, 'a2900ff0f2f8e0f6', '30df9a22d9f35769'],
  ])('%s', (beta_schedule, config, alphasCumprod, betas) => {
    const schedule = createSchedule(engine, { beta_schedule, ...config });
    expect(hash(schedule.betas)).toBe(betas);
    expect(hash(schedule.alphasCumprod)).toBe(alphasCumprod);
  });
});

describe('schedules', () => {
  it('abar is the product of 1 - beta within 1e-15 in float64', () => {
    for (const beta_schedule of ['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace']) {
      const { betas, alphasCumprod } = createSchedule(engine, { beta_schedule }, { precision: 'float64' });
      let product = 1;
      expect(
        maxDifference(
          alphasCumprod,
          betas.map((beta) => (product *= 1 - beta)),
        ),
      ).toBeLessThan(1e-15);
    }
  });

  it('float32 and float64 tables agree within 1e-6', () => {
    for (const beta_schedule of ['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace']) {
      const [single, double] = (['float32', 'float64'] as const).map((precision) =>
        createSchedule(engine, { beta_schedule }, { precision }),
      );
      expect(maxDifference(single.alphasCumprod, double.alphasCumprod)).toBeLessThan(1e-6);
    }
  });

  it('zero terminal SNR: abar ends at exactly 0, starts as before, and sqrt(abar) is an affine map of the old, within 1e-6', () => {
    const before = createSchedule(engine, {});
    const after = createSchedule(engine, { rescale_betas_zero_snr: true });
    expect(after.alphasCumprod[999]).toBe(0);
    expect(after.alphasCumprod[0]).toBeCloseTo(before.alphasCumprod[0], 6);
    const [first, last] = [Math.sqrt(before.alphasCumprod[0]), Math.sqrt(before.alphasCumprod[999])];
    const expected = before.alphasCumprod.map((abar) => (((Math.sqrt(abar) - last) * first) / (first - last)) ** 2);
    expect(maxDifference(after.alphasCumprod, expected)).toBeLessThan(1e-6);
  });

  it('posteriorVariance is (1-abar[t-1])/(1-abar[t]) beta[t] (eq. 7), its clipped logarithm starts at t = 1', () => {
    const { betas, alphasCumprod: abar, posteriorVariance, posteriorLogVarianceClipped } = createSchedule(engine, {});
    expect(posteriorVariance[0]).toBe(0);
    expect(posteriorVariance[487]).toBeCloseTo(((1 - abar[486]) / (1 - abar[487])) * betas[487], 15);
    expect(posteriorLogVarianceClipped[0]).toBe(posteriorLogVarianceClipped[1]);
    expect(Math.exp(posteriorLogVarianceClipped[500])).toBeCloseTo(posteriorVariance[500], 15);
  });

  it('logSnr is log(abar / (1 - abar)) within 1e-12', () => {
    const { alphasCumprod, logSnr } = createSchedule(engine, {});
    expect(
      maxDifference(
        logSnr,
        alphasCumprod.map((abar) => Math.log(abar / (1 - abar))),
      ),
    ).toBeLessThan(1e-12);
  });

  it('trained betas are taken as they are, with a note when they do not increase', () => {
    const schedule = createSchedule(engine, { trained_betas: [0.1, 0.3, 0.2] });
    expect([...schedule.betas]).toEqual([0.1, 0.3, 0.2].map(Math.fround));
    expect(schedule.trainTimesteps).toBe(3);
    expect(schedule.notes.join()).toMatch('do not increase');
  });

  it('any linear schedule stays inside (0, 1) and falls', () => {
    const bounds = fc.tuple(
      fc.double({ min: 1e-6, max: 0.4, noNaN: true }),
      fc.double({ min: 1e-6, max: 0.5, noNaN: true }),
    );
    fc.assert(
      fc.property(bounds, fc.integer({ min: 1, max: 3000 }), ([beta_start, width], num_train_timesteps) => {
        const config = { beta_start, beta_end: beta_start + width, num_train_timesteps };
        const { betas, alphasCumprod } = createSchedule(engine, config);
        expect(betas.every((beta) => beta > 0 && beta < 1)).toBe(true);
        expect(alphasCumprod.every((abar, t) => t === 0 || abar <= alphasCumprod[t - 1])).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});
