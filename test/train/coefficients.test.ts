import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { createEngine, createSchedule, type Engine } from '../../src/index.ts';
import { COEFFICIENTS, type Coefficient, coefficientsOf } from '../../src/train/index.ts';
import { type Loss, plainLoss } from './lossSupport.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

const predictions = ['epsilon', 'sample', 'v_prediction'] as const;
const scheduleOf = (json: object) => createSchedule(engine, json);

/** The columns of a table by their names. */
function columnsOf(schedule: ReturnType<typeof scheduleOf>, loss: Loss): Record<Coefficient, Float32Array> {
  const table = coefficientsOf(schedule, loss);
  const entries = COEFFICIENTS.map((name, i) => [name, table.filter((_, at) => at % COEFFICIENTS.length === i)]);
  return Object.fromEntries(entries);
}

describe('the coefficients of a schedule', () => {
  test('signal and noise are sqrt(abar) and sqrt(1 - abar), rounded once; nothing is learnt of a fixed variance', () => {
    const schedule = scheduleOf({ beta_schedule: 'squaredcos_cap_v2' });
    const { signal, noise, weight, ...bound } = columnsOf(schedule, plainLoss);
    expect(signal).toEqual(Float32Array.from(schedule.alphasCumprod, (abar) => Math.sqrt(abar)));
    expect(noise).toEqual(Float32Array.from(schedule.alphasCumprod, (abar) => Math.sqrt(1 - abar)));
    expect(weight.every((w) => w === 1)).toBe(true);
    for (const column of Object.values(bound)) expect(column.every((x) => x === 0)).toBe(true);
  });

  test('weights for the three predictions weigh one error alike: min-SNR and P2, within 1e-6', () => {
    const schedule = scheduleOf({ beta_schedule: 'linear' });
    const weightings = fc.constantFrom('min-snr' as const, 'p2' as const);
    const numbers = {
      gamma: fc.double({ min: 0.1, max: 6, noNaN: true }),
      k: fc.double({ min: 0.01, max: 5, noNaN: true }),
    };
    fc.assert(
      fc.property(weightings, fc.record(numbers), (weighting, { gamma, k }) => {
        const weightsOf = (prediction: Loss['prediction']) =>
          columnsOf(schedule, { ...plainLoss, prediction, weighting, gamma, k }).weight;
        const [epsilon, sample, velocity] = predictions.map(weightsOf);
        for (const t of [0, 10, 200, 700, 999]) {
          const abar = schedule.alphasCumprod[t];
          const snr = abar / (1 - abar);
          const expected = weighting === 'p2' ? 1 / (k + snr) ** gamma : Math.min(snr, gamma) / snr;
          expect(Math.abs(epsilon[t] / expected - 1)).toBeLessThan(1e-6);
          // the noise's error is SNR times that of the image, abar times that of the velocity
          expect(Math.abs(sample[t] / (expected * snr) - 1)).toBeLessThan(1e-6);
          expect(Math.abs(velocity[t] / (expected * abar) - 1)).toBeLessThan(1e-6);
        }
      }),
      { numRuns: 10, seed: 1 },
    );
  });

  test('at the end of a zero-SNR schedule the weights are limits: 0 for the image and the velocity', () => {
    const schedule = scheduleOf({ rescale_betas_zero_snr: true, prediction_type: 'v_prediction' });
    expect(schedule.alphasCumprod[999]).toBe(0);
    for (const weighting of ['min-snr', 'p2'] as const)
      for (const prediction of ['sample', 'v_prediction'] as const) {
        const { weight } = columnsOf(schedule, { ...plainLoss, weighting, prediction });
        expect(weight[999]).toBe(0);
        expect(weight[998]).toBeGreaterThan(0);
      }
    const learned = { ...plainLoss, prediction: 'v_prediction', variance: 'learned' } as const;
    for (const column of Object.values(columnsOf(schedule, learned))) expect(column.every(Number.isFinite)).toBe(true);
  });

  test('those of the bound are finite for every schedule, a single step too, and t = 0 has a likelihood alone', () => {
    for (const beta_schedule of ['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid'])
      for (const num_train_timesteps of [1, 2, 50, 1000]) {
        const schedule = scheduleOf({ beta_schedule, num_train_timesteps });
        for (const prediction of predictions) {
          const { divergence, likelihood, ...rest } = columnsOf(schedule, {
            ...plainLoss,
            prediction,
            variance: 'learned',
          });
          for (const column of Object.values(rest)) expect(column.every(Number.isFinite)).toBe(true);
          const bits = Math.fround(num_train_timesteps / Math.LN2);
          expect([...divergence]).toEqual([...divergence.keys()].map((t) => (t === 0 ? 0 : bits)));
          expect([...likelihood]).toEqual([...likelihood.keys()].map((t) => (t === 0 ? bits : 0)));
        }
      }
  });

  test('names what has no coefficients', () => {
    const zero = scheduleOf({ rescale_betas_zero_snr: true });
    expect(() => coefficientsOf(zero, plainLoss)).toThrow('"prediction_type" expected sample or v_prediction');
    expect(() => coefficientsOf(zero, { ...plainLoss, prediction: 'v_prediction', weighting: 'p2', k: 0 })).toThrow(
      '"loss.k" expected a number with which the weight of timestep 999 is finite, got 0',
    );
    expect(() =>
      coefficientsOf(scheduleOf({ variance_type: 'learned' }), { ...plainLoss, variance: 'learned' }),
    ).toThrow('"variance_type" expected learned_range');
  });
});
