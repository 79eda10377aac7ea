import { describe, expect, it } from 'vitest';
import {
  createEngine,
  createPlan,
  createSchedule,
  type Denoiser,
  type Guide,
  gradientGuide,
  guided,
  type Plan,
  type PlanRow,
  planSteps,
  randn,
  runPlan,
  type Tensor,
} from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';
import { moments, normalOracle } from '../support/oracle.ts';

const engine = await createEngine();
const schedule = createSchedule(engine, { clip_sample: false });
const shape = [3, 1, 5, 7];
const oracle = normalOracle(schedule, 0.2, 0.5);
const constant = (value: number): Tensor => ({ data: new Float32Array(105).fill(value), shape });

/** A two-step Adams-Bashforth ddim: the noise of the step before is kept in slot 1. */
function multistep(steps: number): Plan {
  const plan = createPlan(schedule, { sampler: 'ddim', steps });
  const rows = plan.rows.map((row, i): PlanRow => {
    const kept = { store: 1, storeModel: 1 };
    return i === 0 ? { ...row, ...kept } : { ...row, ...kept, model: 1.5 * row.model, h1: -0.5 * row.model };
  });
  return { ...plan, rows };
}

const plans = {
  ddpm: createPlan(schedule, { sampler: 'ddpm', steps: 20 }),
  ddim: createPlan(schedule, { sampler: 'ddim', steps: 20 }),
  'a clipped ddim': createPlan(schedule, { sampler: 'ddim', steps: 20, clipSample: true }),
  'a multistep plan': multistep(20),
};

describe('a guide', () => {
  it.each(Object.entries(plans))(
    'of %s that returns its start unchanged changes nothing, bit for bit',
    async (_, plan) => {
      const run = (guide?: Guide) => runPlan(plan, oracle, { shape, seed: 1, guide });
      const plain = (await run()).data;
      expect((await run((start) => start)).data).toEqual(plain);
      expect((await run((start) => ({ data: start.data.slice(), shape: start.shape }))).data).toEqual(plain);
      expect((await run(async () => undefined)).data).toEqual(plain);
    },
  );

  it.each(Object.entries(plans))('of %s to a constant image ends there, within 1e-4', async (_, plan) => {
    const run = { shape, seed: 1, guide: () => constant(0.3) };
    expect(maxDifference((await runPlan(plan, oracle, run)).data, constant(0.3).data)).toBeLessThan(1e-4);
  });

  it('sees the estimate before clipping and what it returns is clipped, within 1e-4 of what steps yield', async () => {
    const plan = plans['a clipped ddim'];
    const { a, b } = plan.rows[0];
    const far: Denoiser = (x) => ({ data: x.data.map((v) => v - 0.1), shape: x.shape });
    const seen: number[] = [];
    const guide: Guide = (start, x, timestep, { index, calls }) => {
      if (index === 0)
        expect(
          maxDifference(
            start.data,
            x.data.map((v) => a * v + b * (v - 0.1)),
          ),
        ).toBeLessThan(1e-4);
      expect(calls).toBe(20);
      seen.push(timestep);
      start.data.fill(1.5); // in place will do
      return start;
    };
    for await (const { start } of planSteps(plan, far, { shape, seed: 1, guide }))
      expect(maxDifference(start.data, constant(1).data)).toBeLessThan(1e-4);
    expect(seen).toEqual(plan.timesteps);
  });

  it('moves the estimate and leaves a learned variance alone, within 1e-5', async () => {
    const plan = createPlan(schedule, { sampler: 'ddpm', steps: 10, varianceType: 'learned_range' });
    const both: Denoiser = async (x, timesteps) => {
      const { data } = await oracle(x, timesteps);
      const out = new Float32Array(210).fill(0.5);
      for (let i = 0; i < 3; i++) out.set(data.subarray(35 * i, 35 * i + 35), 70 * i);
      return { data: out, shape: [3, 2, 5, 7] };
    };
    const run = (guide?: Guide) => runPlan(plan, both, { shape, seed: 1, guide });
    expect((await run((start) => start)).data).toEqual((await run()).data);
    const pulled = await run(() => constant(-0.4));
    expect(maxDifference(pulled.data, constant(-0.4).data)).toBeLessThan(1e-5);
  });

  it.each([
    [() => ({ data: new Float32Array(3), shape: [3] }), '"guide.shape" expected [3, 1, 5, 7], got [3]'],
    [() => constant(Number.NaN), '"guide" expected finite numbers at timestep 950, got NaN'],
    ['north', '"guide" expected a function, got "north"'],
  ])('is refused for %s', async (guide, message) => {
    const attempt = runPlan(plans.ddim, oracle, { shape, seed: 1, guide: guide as Guide });
    await expect(attempt).rejects.toThrow(message);
  });
});

describe('gradientGuide', () => {
  it('is start + (1 - abar)/sqrt(abar) * scale * gradient, so eps - sqrt(1 - abar) * scale * gradient, within 1e-5', async () => {
    const abar = schedule.alphasCumprod[400];
    const [start, x, gradient] = [1, 2, 3].map((seed) => randn(engine, shape, { seed }));
    const guide = gradientGuide(schedule, () => gradient, { scale: 2.5 });
    const corrected = await guide(start, x, 400, { index: 0, calls: 1 });
    const eps = (of: Tensor) => of.data.map((v, i) => (x.data[i] - Math.sqrt(abar) * v) / Math.sqrt(1 - abar));
    const expected = eps(start).map((e, i) => e - Math.sqrt(1 - abar) * 2.5 * gradient.data[i]);
    expect(maxDifference(eps(corrected!), expected)).toBeLessThan(1e-5);
  });

  it('with the exact p(y | x_t) samples the posterior: mean and variance of 4,096 within 4 standard errors and bias', async () => {
    // x ~ N(0, s^2), y = x + N(0, r^2): the posterior of x is N(y s^2/(s^2+r^2), s^2 r^2/(s^2+r^2))
    const [s, r, y] = [0.5, 0.4, 0.6];
    const guide = gradientGuide(schedule, (x, t) => {
      const abar = schedule.alphasCumprod[t];
      const total = abar * s * s + 1 - abar;
      const gain = (Math.sqrt(abar) * s * s) / total; // E[x_0 | x_t] = gain x_t
      const spread = (s * s * (1 - abar)) / total + r * r;
      return { data: x.data.map((v) => (gain * (y - gain * v)) / spread), shape: x.shape };
    });
    const plan = createPlan(schedule, { sampler: 'ddpm', steps: 500 });
    const run = { shape: [4096, 1, 1, 1], seed: 2, guide };
    const { mean, variance } = moments((await runPlan(plan, normalOracle(schedule, 0, s), run)).data);
    const expected = (s * s * r * r) / (s * s + r * r);
    expect(Math.abs(mean - (y * s * s) / (s * s + r * r))).toBeLessThan(4 * Math.sqrt(expected / 4096) + 0.005);
    expect(Math.abs(variance / expected - 1)).toBeLessThan(4 * Math.sqrt(2 / 4096) + 0.03);
  });

  it('refuses a gradient of another shape', async () => {
    const guide = gradientGuide(schedule, () => ({ data: new Float32Array(3), shape: [3] }));
    await expect(runPlan(plans.ddim, oracle, { shape, seed: 1, guide })).rejects.toThrow('"gradient.shape"');
  });
});

describe('classifier-free guidance with rescale', () => {
  /** Predicts a wave of the size and phase that the label says. */
  const denoiser: Denoiser = (x, _, condition) => {
    const labels = condition!.classLabels!;
    const data = x.data.map((_, i) => (1 + labels[Math.floor(i / 35)]) * Math.sin(i % 35) + labels[Math.floor(i / 35)]);
    return { data, shape: x.shape };
  };
  const x: Tensor = { data: new Float32Array(70), shape: [2, 1, 5, 7] };
  const condition = { classLabels: [1, 4] };
  const ask = async (options: { scale: number; rescale?: number }) =>
    (await guided(engine, denoiser, { unconditional: 0, ...options })(x, Float32Array.of(5, 5), condition)).data;

  it('is phi * guided * std(conditional)/std(guided) + (1 - phi) * guided for each image, within 1e-5', async () => {
    const plain = await ask({ scale: 1 });
    const guidedBy = await ask({ scale: 3 });
    for (const phi of [0.7, 1]) {
      const rescaled = await ask({ scale: 3, rescale: phi });
      for (const i of [0, 1]) {
        const image = (values: Float32Array) => values.slice(35 * i, 35 * i + 35);
        const deviation = (values: Float32Array) => Math.sqrt(moments(image(values)).variance);
        const factor = (phi * deviation(plain)) / deviation(guidedBy) + 1 - phi;
        expect(
          maxDifference(
            image(rescaled),
            image(guidedBy).map((v) => v * factor),
          ),
        ).toBeLessThan(1e-5);
        if (phi === 1) expect(deviation(rescaled)).toBeCloseTo(deviation(plain), 5);
      }
    }
    expect(await ask({ scale: 3, rescale: 0 })).toEqual(guidedBy);
  });

  it('leaves a prediction without any deviation as it is, and refuses a share outside 0..1', async () => {
    const flat: Denoiser = (x) => ({ data: new Float32Array(x.data.length).fill(2), shape: x.shape });
    const answer = await guided(engine, flat, { scale: 3, unconditional: 0, rescale: 1 })(x, Float32Array.of(5, 5));
    expect(maxDifference(answer.data, new Float32Array(70).fill(2))).toBeLessThan(1e-6);
    expect(() => guided(engine, flat, { scale: 3, unconditional: 0, rescale: 2 })).toThrow('"rescale"');
  });
});
