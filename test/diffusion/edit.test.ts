import { describe, expect, it } from 'vitest';
import { samplers } from '../../src/core/schedulerConfig.ts';
import {
  addNoise,
  alphaCumprodAt,
  createEngine,
  createPartialPlan,
  createPlan,
  createSchedule,
  type Denoiser,
  type Plan,
  type PlanRow,
  planEdit,
  planSteps,
  randn,
  resamplePlan,
  runPlan,
  type Tensor,
} from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';
import { moments, normalOracle } from '../support/oracle.ts';

const engine = await createEngine();
const schedule = createSchedule(engine, { clip_sample: false });
const { alphasCumprod: abar } = schedule;
const shape = [3, 2, 5, 7];
const oracle = normalOracle(schedule, 0.2, 0.5);
const picture: Tensor = { data: randn(engine, shape, { seed: 99 }).data.map((v) => Math.tanh(v)), shape };
const maskOf = (value: (i: number) => number, channels = 1): Tensor => ({
  data: Float32Array.from({ length: channels * 35 }, (_, i) => value(i)),
  shape: [1, channels, 5, 7],
});

describe('abar at a real timestep', () => {
  it('is the schedule’s at whole ones, and between them geometric in the signal-to-noise ratio, within 1e-12', () => {
    for (const t of [0, 1, 500, 999]) expect(alphaCumprodAt(schedule, t)).toBe(abar[t]);
    const snr = (value: number) => value / (1 - value);
    const middle = alphaCumprodAt(schedule, 500.5);
    expect(snr(middle) ** 2 / (snr(abar[500]) * snr(abar[501]))).toBeCloseTo(1, 12);
    expect(alphaCumprodAt(schedule, 1005.2)).toBe(abar[999]);
  });
});

describe('image-to-image', () => {
  it('leaves the last floor(n * strength) steps, as they are in the whole plan', () => {
    const whole = createPlan(schedule, { sampler: 'ddim', steps: 50, eta: 0.5 });
    for (const [strength, left] of [
      [1, 50],
      [0.6, 30],
      [0.3, 15],
      [0.02, 1],
    ]) {
      const part = createPartialPlan(schedule, { sampler: 'ddim', steps: 50, eta: 0.5, strength });
      expect(part.rows).toEqual(whole.rows.slice(50 - left));
      expect(part).toMatchObject({ calls: left, timesteps: whole.timesteps.slice(50 - left) });
    }
  });

  it('begins at q(x_t given the image) with the noise of draw 0, within 1e-6: strength 1 where plain sampling begins', async () => {
    for (const strength of [1, 0.5]) {
      const plan = createPartialPlan(schedule, { sampler: 'ddpm', steps: 20, strength });
      let first: Float32Array | undefined;
      const denoiser: Denoiser = (x, timesteps) => {
        first ??= x.data.slice();
        return oracle(x, timesteps);
      };
      await runPlan(plan, denoiser, { shape, seed: 4, init: { images: picture, schedule } });
      const noise = randn(engine, shape, { seed: 4 });
      expect(maxDifference(first!, addNoise(schedule, picture, plan.timesteps[0], noise).data)).toBeLessThan(1e-6);
      // at t = 950 the image is under 2% of x
      if (strength === 1) expect(maxDifference(first!, noise.data)).toBeLessThan(0.02);
    }
  });

  it('a small strength keeps an image that the network finds likely within 0.2, a large one does not', async () => {
    const steep = normalOracle(schedule, 0.2, 0.9);
    const changed = async (strength: number) => {
      const plan = createPartialPlan(schedule, { sampler: 'ddpm', steps: 100, strength });
      return maxDifference(
        (await runPlan(plan, steep, { shape, seed: 4, init: { images: picture, schedule } })).data,
        picture.data,
      );
    };
    expect(await changed(0.02)).toBeLessThan(0.2);
    expect(await changed(0.9)).toBeGreaterThan(1);
  });

  it('takes one image for all', async () => {
    const plan = createPartialPlan(schedule, { sampler: 'ddim', steps: 10, strength: 0.5 });
    const one: Tensor = { data: picture.data.slice(0, 70), shape: [1, ...shape.slice(1)] };
    const three: Tensor = { data: Float32Array.from({ length: 210 }, (_, i) => one.data[i % 70]), shape };
    const run = (images: Tensor) => runPlan(plan, oracle, { shape, seed: 1, init: { images, schedule } });
    expect((await run(one)).data).toEqual((await run(three)).data);
  });

  // what a sampler leaves of the variance in 20 steps is its own; half of the plan leaves the same
  it.each(samplers.filter((name) => name !== 'ddim-inverse' && name !== 'pndm'))(
    '%s brings noised images of N(m, s^2) back as its whole plan samples them: mean within 0.02, deviation within 0.03',
    async (sampler) => {
      const [m, s] = [0.4, 0.25];
      const wide = [4096, 1, 1, 1];
      const images = { data: randn(engine, wide, { seed: 77 }).data.map((z) => m + s * z), shape: wide };
      const options = { sampler, steps: sampler === 'lcm' ? 4 : 40 } as const;
      const denoiser = normalOracle(schedule, m, s);
      const part = createPartialPlan(schedule, { ...options, strength: 0.5 });
      const whole = createPlan(schedule, options);
      expect(Math.abs(part.calls - whole.calls / 2)).toBeLessThanOrEqual(1);
      const sample = async (plan: Plan, more = {}) =>
        moments((await runPlan(plan, denoiser, { shape: wide, seed: 5, ...more })).data);
      const [edited, plain] = [await sample(part, { init: { images, schedule } }), await sample(whole)];
      expect(Math.abs(edited.mean - m)).toBeLessThan(0.02);
      expect(Math.abs(Math.sqrt(edited.variance) - Math.sqrt(plain.variance))).toBeLessThan(0.03);
    },
  );

  it('refuses a sampler that cannot begin in the middle, saying why', () => {
    expect(() => createPartialPlan(schedule, { sampler: 'pndm', steps: 20, strength: 0.5 })).toThrow(
      '"strength" expected 1, as a plan like this cannot begin in the middle ("timesteps" expected',
    );
    expect(createPartialPlan(schedule, { sampler: 'pndm', steps: 20, strength: 1 }).calls).toBe(29);
  });

  it('refuses to noise images for a network that is told no timesteps', () => {
    const images = { data: new Float32Array(4), shape: [1, 1, 2, 2] };
    const options = { sampler: 'euler', predictionType: 'v_prediction', timestepType: 'continuous' } as const;
    expect(() => planEdit(schedule, options, { init: images })).toThrow('"timestepType"');
    expect(() => planEdit(schedule, options, {})).not.toThrow();
  });

  it('refuses a strength that leaves no step, and an inversion', () => {
    const partial = (options: object) => () =>
      createPartialPlan(schedule, { sampler: 'ddim', steps: 50, strength: 0.5, ...options });
    expect(partial({ strength: 0.01 })).toThrow(
      '"strength" expected at least 0.02, which leaves one step of 50, got 0.01',
    );
    expect(partial({ strength: 1.5 })).toThrow('"strength" expected a number in 0..1, got 1.5');
    expect(partial({ sampler: 'ddim-inverse' })).toThrow('"sampler"');
  });
});

describe('inpainting', () => {
  const plan = createPlan(schedule, { sampler: 'ddim', steps: 20, eta: 1 });
  const run = (mask: Tensor, more = {}) =>
    runPlan(plan, oracle, { shape, seed: 7, inpaint: { images: picture, mask, schedule }, ...more });

  it('with everything kept returns the images exactly, with nothing kept what plain sampling gives, bit for bit', async () => {
    expect((await run(maskOf(() => 1))).data).toEqual(picture.data);
    expect((await run(maskOf(() => 0, 2))).data).toEqual((await runPlan(plan, oracle, { shape, seed: 7 })).data);
  });

  it('keeps known pixels exactly, for each channel its own mask, and generates the others', async () => {
    const mask = maskOf((i) => (i % 3 === 0 ? 1 : 0), 2);
    const { data } = await run(mask);
    const kept = Array.from(data, (_, i) => mask.data[i % 70] === 1);
    kept.forEach((keep, i) => {
      if (keep) expect(data[i]).toBe(picture.data[i]);
    });
    expect(data.filter((v, i) => !kept[i] && v === picture.data[i])).toHaveLength(0);
  });

  it.each(samplers.filter((name) => name !== 'ddim-inverse'))(
    'of %s keeps known pixels exactly, and the others are as likely as the network says: mean within 0.1',
    async (sampler) => {
      const wide = [256, 1, 1, 2];
      const images: Tensor = { data: Float32Array.of(0.8, 0), shape: [1, 1, 1, 2] };
      const mask: Tensor = { data: Float32Array.of(1, 0), shape: [1, 1, 1, 2] };
      const any = createPlan(schedule, { sampler, steps: 10 });
      const { data } = await runPlan(any, oracle, { shape: wide, seed: 3, inpaint: { images, mask, schedule } });
      data.forEach((v, i) => {
        if (i % 2 === 0) expect(v).toBe(Math.fround(0.8));
      });
      expect(Math.abs(moments(data.filter((_, i) => i % 2)).mean - 0.2)).toBeLessThan(0.1);
    },
  );

  it('noises known pixels to the level of the next step: mean and deviation of 4,096 within 4 standard errors', async () => {
    const wide = [4096, 1, 1, 2];
    const known: Tensor = { data: Float32Array.of(0.8, 0), shape: [1, 1, 1, 2] };
    const mask: Tensor = { data: Float32Array.of(1, 0), shape: [1, 1, 1, 2] };
    const options = { shape: wide, seed: 3, inpaint: { images: known, mask, schedule } };
    for await (const { index, x } of planSteps(plan, oracle, options)) {
      const next = plan.timesteps[index + 1];
      if (next === undefined) continue;
      const { mean, variance } = moments(x.data.filter((_, i) => i % 2 === 0));
      const expected = 1 - abar[next];
      expect(Math.abs(mean - 0.8 * Math.sqrt(abar[next]))).toBeLessThan(4 * Math.sqrt(expected / 4096));
      expect(Math.abs(variance / expected - 1)).toBeLessThan(4 * Math.sqrt(2 / 4096));
    }
  });

  it('gives the same bytes in any part of a batch', async () => {
    const all = await run(maskOf((i) => i % 2));
    for (let first = 0; first < 3; first++) {
      const images: Tensor = { data: picture.data.slice(first * 70, first * 70 + 70), shape: [1, ...shape.slice(1)] };
      const inpaint = { images, mask: maskOf((i) => i % 2), schedule };
      const one = await runPlan(plan, oracle, { shape: [1, ...shape.slice(1)], seed: 7, first, inpaint });
      expect(one.data).toEqual(all.data.slice(first * 70, first * 70 + 70));
    }
  });

  it('with torch’s numbers draws the start, then step by step the row’s noise and the known pixels’, within 1e-5', async () => {
    const plan = createPlan(schedule, { sampler: 'ddpm', timesteps: [600, 200] });
    const shape = [2, 1, 4, 4]; // torch fills tensors of whole sixteens in the order of its stream
    const images: Tensor = { data: picture.data.slice(0, 32), shape };
    const mask: Tensor = { data: Float32Array.from({ length: 16 }, (_, i) => i % 2), shape: [1, 1, 4, 4] };
    const inpaint = { images, mask, schedule };
    const { data } = await runPlan(plan, oracle, { shape, seed: 5, rng: 'torch', inpaint });

    const stream = randn(engine, [3 * 32], { seed: 5, rng: 'torch' }).data;
    const step = async (x: Float32Array, { timestep, a, b, ...w }: PlanRow) => {
      const model = (await oracle({ data: x, shape }, Float32Array.of(timestep))).data;
      return x.map((v, i) => w.x * v + w.model * model[i] + w.start * (a * v + b * model[i]));
    };
    const [row, last] = plan.rows;
    const mean = await step(stream.slice(0, 32), row);
    const known = addNoise(schedule, images, 200, { data: stream.slice(64), shape }).data;
    const end = await step(
      mean.map((v, i) => (i % 2 ? known[i] : v + row.sigma * stream[32 + i])),
      last,
    );
    const expected = end.map((v, i) => (i % 2 ? images.data[i] : v));
    expect(maxDifference(data, expected)).toBeLessThan(1e-5);
  });

  it.each([
    [{ images: picture }, TypeError, '"inpaint.mask" expected a tensor'],
    [{ images: picture, mask: maskOf(() => 2) }, RangeError, '"inpaint.mask" expected numbers in 0..1, got 2'],
    [{ images: picture, mask: { data: new Float32Array(6), shape: [1, 1, 2, 3] } }, RangeError, '"inpaint.mask.shape"'],
    [
      { images: maskOf(() => 0), mask: maskOf(() => 0) },
      RangeError,
      '"inpaint.images.shape" expected [1 or 3, 2, 5, 7]',
    ],
  ])('refuses %j by name', async (parts, kind, message) => {
    const attempt = run(
      maskOf(() => 0),
      { inpaint: { schedule, ...parts } },
    );
    await expect(attempt).rejects.toThrow(kind);
    await expect(attempt).rejects.toThrow(message);
  });
});

describe('resampling', () => {
  const plan = createPlan(schedule, { sampler: 'ddpm', steps: 12 });

  it('goes by the schedule of RePaint: of 12 steps, jumps of 4 twice', () => {
    const { rows, calls } = resamplePlan(schedule, plan, { jumpLength: 4, jumpCount: 2 });
    // which row of the plan runs, counted from the end, and J for a jump: t = 8, 4, 0 of get_schedule_jump
    const index = (t: number) => plan.timesteps.length - 1 - plan.timesteps.indexOf(t);
    const order = rows.map((row) => (row.calls ? index(row.timestep) : 'J'));
    expect(order).toEqual([11, 10, 9, 8, 7, 6, 5, 'J', 8, 7, 6, 5, 4, 3, 2, 1, 'J', 4, 3, 2, 1, 0]);
    expect(calls).toBe(20);
    expect(resamplePlan(schedule, plan, { jumpLength: 4, jumpCount: 1 })).toBe(plan);
  });

  it('a jump keeps the marginal variance: x^2 abar_s-level variance + sigma^2 is that of t, within 1e-12', () => {
    const { rows } = resamplePlan(schedule, plan, { jumpLength: 4, jumpCount: 3 });
    for (const [i, jump] of rows.entries()) {
      if (jump.calls) continue;
      const [s, t] = [plan.timesteps[plan.timesteps.indexOf(rows[i - 1].timestep) + 1], rows[i + 1].timestep];
      expect(jump.x ** 2 * (1 - abar[s]) + jump.sigma ** 2).toBeCloseTo(1 - abar[t], 12);
      expect(jump.x * Math.sqrt(abar[s])).toBeCloseTo(Math.sqrt(abar[t]), 12);
    }
  });

  it('samples the same distribution: mean and variance of 4,096 within 4 standard errors and 0.01 of bias', async () => {
    const [m, s] = [0.4, 0.25];
    const all = createPlan(schedule, { sampler: 'ddpm', varianceType: 'fixed_large' });
    const jumping = resamplePlan(schedule, all, { jumpLength: 100, jumpCount: 2 });
    expect(jumping.calls).toBe(1900);
    const { data } = await runPlan(jumping, normalOracle(schedule, m, s), { shape: [4096, 1, 1, 1], seed: 5 });
    const { mean, variance } = moments(data);
    expect(Math.abs(mean - m)).toBeLessThan((4 * s) / 64);
    expect(Math.abs(variance / (s * s) - 1)).toBeLessThan(4 * Math.sqrt(2 / 4096) + 0.01);
  });

  it('refuses steps that lean on earlier ones, and jumps as long as the plan', () => {
    const leaning: Plan = { ...plan, rows: plan.rows.map((row) => ({ ...row, store: 1, storeModel: 1, h1: 0.1 })) };
    expect(() => resamplePlan(schedule, leaning)).toThrow('"sampler" expected one of single steps');
    expect(() => resamplePlan(schedule, plan, { jumpLength: 12 })).toThrow('"jumpLength" expected an integer in 1..11');
  });
});

describe('planEdit', () => {
  const mask = maskOf(() => 1);
  it.each([
    [{ strength: 0.5 }, '"strength" expected "init" beside it'],
    [{ mask }, '"mask" expected "init" beside it'],
    [{ init: picture, jumpCount: 3 }, '"jumpCount" expected "mask" beside it'],
    [{ refine: 1 }, '"refine" expected the sampler ddim-inverse'],
  ])('refuses what is of no use alone: %#', (edit, message) => {
    expect(() => planEdit(schedule, { sampler: 'ddim' }, edit)).toThrow(message);
  });

  it('noises for image-to-image, starts afresh with a mask, and does both when asked', () => {
    const parts = (edit: object) => Object.keys(planEdit(schedule, { sampler: 'ddim', steps: 10 }, edit).run);
    expect(parts({ init: picture })).toEqual(['init']);
    expect(parts({ init: picture, mask })).toEqual(['inpaint']);
    expect(parts({ init: picture, mask, strength: 0.5 })).toEqual(['init', 'inpaint']);
    expect(planEdit(schedule, { sampler: 'ddim', steps: 10 }, { init: picture }).plan.calls).toBe(8);
  });
});
