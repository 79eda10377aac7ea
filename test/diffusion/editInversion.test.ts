import { describe, expect, it } from 'vitest';
import {
  createEngine,
  createInversionPlan,
  createPlan,
  createSchedule,
  type Denoiser,
  randn,
  runPlan,
  slerp,
  type Tensor,
} from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';
import { greyLevels, moments, normalOracle } from '../support/oracle.ts';

const engine = await createEngine();
const schedule = createSchedule(engine, {});

describe('inversion and reconstruction, 100 steps each way', () => {
  const shape = [16, 1, 28, 28];
  const [m, s] = [0.4, 0.25];
  const images: Tensor = { data: randn(engine, shape, { seed: 1 }).data.map((z) => m + s * z), shape };
  const oracle = normalOracle(schedule, m, s);
  const roundTrip = async (refine: number) => {
    const plan = createInversionPlan(schedule, { steps: 100, refine });
    const latents = await runPlan(plan, oracle, { shape, seed: 0, start: images });
    const back = createPlan(schedule, { sampler: 'ddim', steps: 100, clipSample: false });
    return { latents, again: await runPlan(back, oracle, { shape, seed: 0, start: latents }) };
  };

  it('of 16 images of N(m, s^2): under 3 grey levels, 0.2 refined once, 0.01 refined twice', async () => {
    for (const [refine, limit] of [
      [0, 3],
      [1, 0.2],
      [2, 0.01],
    ]) {
      expect(greyLevels((await roundTrip(refine)).again.data, images.data)).toBeLessThan(limit);
    }
  });

  it('finds noise of mean 0 and variance 1, each within 0.1', async () => {
    const { mean, variance } = moments((await roundTrip(1)).latents.data);
    expect(Math.abs(mean)).toBeLessThan(0.1);
    expect(Math.abs(variance - 1)).toBeLessThan(0.1);
  });

  it('refined to its fixed point a step is undone by the ddim step back, within 1e-5', async () => {
    const [one] = createPlan(schedule, { sampler: 'ddim', timesteps: [60], clipSample: false }).rows;
    const start: Tensor = { data: images.data.slice(0, 784), shape: [1, 1, 28, 28] };
    const plan = createInversionPlan(schedule, { timesteps: [60], refine: 30 });
    expect(plan.calls).toBe(31);
    const { data: x } = await runPlan(plan, oracle, { shape: start.shape, seed: 0, start });
    const model = (await oracle({ data: x, shape: start.shape }, Float32Array.of(60))).data;
    const back = x.map((v, i) => one.x * v + one.model * model[i] + one.start * (one.a * v + one.b * model[i]));
    expect(maxDifference(back, start.data)).toBeLessThan(1e-5);
  });

  it('does not clip unless asked, and does not refine what is clipped', () => {
    expect(createInversionPlan(schedule).rows.every(({ clip }) => clip === Infinity)).toBe(true);
    expect(createInversionPlan(schedule, { clipSample: true }).rows.every(({ clip }) => clip === 1)).toBe(true);
    expect(() => createInversionPlan(schedule, { clipSample: true, refine: 1 })).toThrow('"refine" expected 0');
  });

  it.each(['sample', 'v_prediction'] as const)(
    'works where the network predicts the %s: under 0.3 grey levels',
    async (predictionType) => {
      // what the ideal network says in the other's terms
      const other: Denoiser = async (x, timesteps) => {
        const { data: noise } = await oracle(x, timesteps);
        const abar = schedule.alphasCumprod[timesteps[0]];
        const [signal, rest] = [Math.sqrt(abar), Math.sqrt(1 - abar)];
        const start = x.data.map((v, i) => (v - rest * noise[i]) / signal);
        const data = predictionType === 'sample' ? start : noise.map((e, i) => signal * e - rest * start[i]);
        return { data, shape: x.shape };
      };
      const plan = createInversionPlan(schedule, { steps: 100, predictionType, refine: 1 });
      const latents = await runPlan(plan, other, { shape, seed: 0, start: images });
      const back = createPlan(schedule, { sampler: 'ddim', steps: 100, clipSample: false, predictionType });
      const again = await runPlan(back, other, { shape, seed: 0, start: latents });
      expect(greyLevels(again.data, images.data)).toBeLessThan(predictionType === 'sample' ? 3 : 0.3);
    },
  );
});

describe('slerp', () => {
  const shape = [2, 3, 5, 7];
  const [a, b] = [1, 2].map((seed) => randn(engine, shape, { seed }));
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

  it('has both ends exactly, and one row of images a weight', () => {
    const { data, shape: all } = slerp(engine, a, b, [0, 0.5, 1]);
    expect(all).toEqual([6, 3, 5, 7]);
    expect(data.slice(0, 210)).toEqual(a.data);
    expect(data.slice(420)).toEqual(b.data);
    expect(slerp(engine, a, b, 0.5)).toEqual({ data: data.slice(210, 420), shape });
  });

  it('is sin((1-w) theta)/sin(theta) a + sin(w theta)/sin(theta) b for each image, within 1e-6', () => {
    const { data } = slerp(engine, a, b, 0.3);
    for (const i of [0, 1]) {
      const [x, y] = [a, b].map((tensor) => tensor.data.slice(105 * i, 105 * i + 105));
      const theta = Math.acos(x.reduce((sum, v, j) => sum + v * y[j], 0) / norm(x) / norm(y));
      const [p, q] = [0.7, 0.3].map((w) => Math.sin(w * theta) / Math.sin(theta));
      expect(
        maxDifference(
          data.slice(105 * i, 105 * i + 105),
          x.map((v, j) => p * v + q * y[j]),
        ),
      ).toBeLessThan(1e-6);
    }
  });

  it('keeps the length of vectors of one length, where a straight line loses a quarter of it, within 1e-6', () => {
    const unit = ({ data }: Tensor): Tensor => ({
      data: data.slice(0, 105).map((v) => v / norm(data.slice(0, 105))),
      shape: [1, 105],
    });
    for (const weight of [0.1, 0.25, 0.5, 0.9])
      expect(Math.abs(norm(slerp(engine, unit(a), unit(b), weight).data) - 1)).toBeLessThan(1e-6);
  });

  it('between equal or opposite ends is a straight line, without NaN', () => {
    const minus: Tensor = { data: a.data.map((v) => -v), shape };
    expect(maxDifference(slerp(engine, a, a, 0.4).data, a.data)).toBeLessThan(1e-6);
    expect(
      maxDifference(
        slerp(engine, a, minus, 0.25).data,
        a.data.map((v) => v / 2),
      ),
    ).toBeLessThan(1e-6);
  });

  it('refuses other shapes and weights by name', () => {
    expect(() => slerp(engine, a, { ...b, shape: [2, 105] }, 0.5)).toThrow('"b.shape" expected [2, 3, 5, 7]');
    expect(() => slerp(engine, a, b, 1.2)).toThrow('"weights" expected a number in 0..1, got 1.2');
  });
});
