import { describe, expect, it } from 'vitest';
import { learningRate, ratesOf } from '../../src/train/rates.ts';

const optimizer = {
  ...{ learningRate: 2e-3, warmupSteps: 10, finalFraction: 0.1, betas: [0.9, 0.999] as [number, number] },
  ...{ epsilon: 1e-8, weightDecay: 0, clip: 1 as number | null },
};
const config = { optimizer, ema: { decay: 0.999, ramp: true } };
const at = (step: number, steps = 1000) => ({ step, progress: step / steps });

describe('the learning rate', () => {
  it('rises along a line over the warm-up, in steps of a tenth, within 1e-12', () => {
    for (let step = 0; step < 10; step++)
      expect(learningRate(config, at(step))).toBeCloseTo((2e-3 * (step + 1)) / 10, 12);
  });

  it('falls along half a cosine to its final fraction, within 1e-12', () => {
    expect(learningRate(config, at(500))).toBeCloseTo(2e-3 * 0.55, 12);
    expect(learningRate(config, at(250))).toBeCloseTo(2e-3 * (0.1 + 0.9 * ((1 + Math.SQRT1_2) / 2)), 12);
    expect(learningRate(config, at(1000))).toBeCloseTo(2e-4, 12);
    // a run by time may end a little late
    expect(learningRate(config, { step: 1001, progress: 1.2 })).toBeCloseTo(2e-4, 12);
  });
});

describe('the rates of a step', () => {
  it('scale a gradient longer than `clip` to that length, and no other, within 1e-6', () => {
    expect(ratesOf(config, at(20), 4)[0]).toBeCloseTo(0.25, 6);
    expect(ratesOf(config, at(20), 0.5)[0]).toBe(1);
    expect(ratesOf({ ...config, optimizer: { ...optimizer, clip: null } }, at(20), 1e6)[0]).toBe(1);
  });

  it('hold 1/(1 - beta^t), t from 1, within 1e-12', () => {
    for (const step of [0, 1, 6, 12345]) {
      const [, , first, second] = ratesOf(config, at(step, 1e6), 1);
      expect(first).toBeCloseTo(1 / (1 - 0.9 ** (step + 1)), 12);
      expect(second / (1 / (1 - 0.999 ** (step + 1)))).toBeCloseTo(1, 10);
    }
  });

  it('let the average move by min(decay, (1 + n)/(10 + n)), or by the decay, or not at all', () => {
    expect(ratesOf(config, at(0), 1)[4]).toBe(0.1);
    expect(ratesOf(config, at(90), 1)[4]).toBe(0.91);
    expect(ratesOf(config, at(900_000, 1e6), 1)[4]).toBe(0.999);
    expect(ratesOf({ ...config, ema: { decay: 0.999, ramp: false } }, at(0), 1)[4]).toBe(0.999);
    expect(ratesOf({ ...config, ema: null }, at(0), 1)[4]).toBe(0);
  });
});
