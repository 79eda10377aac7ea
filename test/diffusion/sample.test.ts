import { describe, expect, it } from 'vitest';
import {
  createEngine,
  createPlan,
  createSchedule,
  type Denoiser,
  planSteps,
  randn,
  runPlan,
  type Schedule,
  type Tensor,
} from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';

const engine = await createEngine();
const linear = createSchedule(engine, { clip_sample: false });
const shape = [3, 1, 5, 7];

/** For data N(m, s^2) a pixel the best noise prediction is linear in x: what any sampler must bring back. */
function oracle({ alphasCumprod }: Schedule, m: number, s: number): Denoiser {
  return (x, timesteps) => {
    const abar = alphasCumprod[timesteps[0]];
    const variance = abar * s * s + 1 - abar;
    const scale = Math.sqrt(1 - abar) / variance;
    return { data: x.data.map((v) => scale * (v - Math.sqrt(abar) * m)), shape: x.shape };
  };
}

/** A denoiser whose answer for an image depends on that image and its timestep alone. */
const separate: Denoiser = (x, timesteps) => {
  const size = x.data.length / x.shape[0];
  return {
    data: x.data.map((v, i) => Math.fround(0.3 * v + 0.1 * Math.tanh(timesteps[Math.floor(i / size)] / 500))),
    shape: x.shape,
  };
};

function moments(values: Float32Array): { mean: number; variance: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return { mean, variance: values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length };
}

describe('the oracle denoiser of N(m, s^2): 4,096 samples', () => {
  const [m, s] = [0.4, 0.25];
  // four standard errors of the mean and of the variance of 4,096 values, and the bias that steps leave
  it.each([
    ['ddpm', 1000, { varianceType: 'fixed_small' }],
    ['ddpm', 1000, { varianceType: 'fixed_large' }],
    ['ddim', 1000, { eta: 0 }],
    ['ddim', 1000, { eta: 1 }],
  ] as const)(
    '%s in %i steps %j have its mean within 4 sigma, its variance within 9%% + bias',
    async (sampler, steps, options) => {
      const plan = createPlan(linear, { sampler, steps, ...options });
      const { data } = await runPlan(plan, oracle(linear, m, s), { shape: [4096, 1, 1, 1], seed: 5 });
      const { mean, variance } = moments(data);
      expect(Math.abs(mean - m)).toBeLessThan((4 * s) / 64 + 0.003);
      expect(Math.abs(variance / (s * s) - 1)).toBeLessThan(4 * Math.sqrt(2 / 4096) + 0.03);
    },
  );

  it('ddim-inverse takes an image to unit noise and ddim brings it back within 0.02', async () => {
    const { data } = randn(engine, [512, 1, 1, 1], { seed: 1 });
    const start: Tensor = { data: data.map((v) => m + s * v), shape: [512, 1, 1, 1] };
    const run = { shape: start.shape, seed: 0 };
    const denoiser = oracle(linear, m, s);
    const inverted = await runPlan(createPlan(linear, { sampler: 'ddim-inverse', steps: 1000 }), denoiser, {
      ...run,
      start,
    });
    expect(moments(inverted.data).variance).toBeCloseTo(1, 0);
    const back = await runPlan(createPlan(linear, { sampler: 'ddim', steps: 1000 }), denoiser, {
      ...run,
      start: inverted,
    });
    expect(maxDifference(back.data, start.data)).toBeLessThan(0.02);
  });
});

describe('a run', () => {
  const plan = createPlan(linear, { sampler: 'ddpm', steps: 25 });

  it('with philox gives the same bytes for image k alone, in any part, and in any batch', async () => {
    const all = await runPlan(plan, separate, { shape: [64, 1, 5, 7], seed: 7 });
    for (const parts of [1, 5, 64]) {
      for (let first = 0; first < 64; first += parts) {
        const count = Math.min(parts, 64 - first);
        const some = await runPlan(plan, separate, { shape: [count, 1, 5, 7], seed: 7, first });
        expect(some.data).toEqual(all.data.slice(first * 35, (first + count) * 35));
      }
    }
  });

  it('is the same twice, and another with another seed, up to 2^64 - 1', async () => {
    const run = (seed: number | bigint) => runPlan(plan, separate, { shape, seed });
    const [a, b, c, d] = [await run(7), await run(7n), await run(8), await run(2n ** 64n - 1n)];
    expect(a.data).toEqual(b.data);
    expect(maxDifference(a.data, c.data)).toBeGreaterThan(0.01);
    expect(maxDifference(c.data, d.data)).toBeGreaterThan(0.01);
  });

  it('side by side with others does not disturb them', async () => {
    const slow: Denoiser = async (x, timesteps) => {
      const answer = await separate(x, timesteps);
      await new Promise((resolve) => setImmediate(resolve));
      return answer;
    };
    const alone = await runPlan(plan, separate, { shape, seed: 1 });
    const together = await Promise.all([1, 2, 3, 1].map((seed) => runPlan(plan, slow, { shape, seed })));
    expect(together[0].data).toEqual(alone.data);
    expect(together[3].data).toEqual(alone.data);
  });

  it('step by step ends where the whole run does, and yields what the network took for the image', async () => {
    const timesteps: number[] = [];
    let last: Float32Array | undefined;
    for await (const step of planSteps(plan, separate, { shape, seed: 3 })) {
      timesteps.push(step.timestep);
      expect(step.start.shape).toEqual(shape);
      last = step.x.data.slice();
      // the last row of ddpm returns its start
      if (step.index === 24) expect(maxDifference(step.start.data, last)).toBeLessThan(1e-5);
    }
    expect(timesteps).toEqual(plan.timesteps);
    expect(last).toEqual((await runPlan(plan, separate, { shape, seed: 3 })).data);
  });

  it('lets a denoiser write its answer into the engine’s memory', async () => {
    let written = 0;
    const direct: Denoiser = async (x, timesteps, _, options) => {
      const answer = await separate(x, timesteps);
      if (!options?.out) return answer;
      options.out.data.set(answer.data);
      written++;
      return options.out;
    };
    expect((await runPlan(plan, direct, { shape, seed: 3 })).data).toEqual(
      (await runPlan(plan, separate, { shape, seed: 3 })).data,
    );
    expect(written).toBe(24);
  });

  it('stops when its signal is aborted, with the signal’s reason', async () => {
    const controller = new AbortController();
    let calls = 0;
    const denoiser: Denoiser = (x, timesteps) => {
      if (++calls === 3) controller.abort(new Error('enough'));
      return separate(x, timesteps);
    };
    await expect(runPlan(plan, denoiser, { shape, seed: 0, signal: controller.signal })).rejects.toThrow('enough');
    expect(calls).toBe(3);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'reports %d from the network at the step where it appears',
    async (bad) => {
      let calls = 0;
      const denoiser: Denoiser = (x) => {
        calls++;
        return { data: x.data.map((_, i) => (calls === 3 && i === 17 ? bad : 0)), shape: x.shape };
      };
      await expect(runPlan(plan, denoiser, { shape, seed: 0 })).rejects.toMatchObject({
        code: 'network-failed',
        message: `the network gave ${bad} at step 3 of 25 (timestep 880)`,
      });
    },
  );

  it('yields after every so many network calls and at the end, the same images', async () => {
    const all: Float32Array[] = [];
    for await (const { x } of planSteps(plan, separate, { shape, seed: 3 })) all.push(x.data.slice());
    const some: number[] = [];
    for await (const { index, x } of planSteps(plan, separate, { shape, seed: 3, every: 10 })) {
      some.push(index);
      expect(x.data).toEqual(all[index]);
    }
    expect(some).toEqual([9, 19, 24]);
    await expect(planSteps(plan, separate, { shape, seed: 3, every: 0 }).next()).rejects.toThrow('"every"');
  });

  it('reports an answer of the wrong shape', async () => {
    const wrong: Denoiser = () => ({ data: new Float32Array(4), shape: [1, 1, 2, 2] });
    await expect(runPlan(plan, wrong, { shape, seed: 0 })).rejects.toThrow(
      "the network's answer at step 1 of 25 (timestep 960) expected float32 [3, 1, 5, 7] or [3, 2, 5, 7], got [1, 1, 2, 2]",
    );
  });

  it.each([
    [{ shape: [0, 1], seed: 0 }, RangeError, '"shape"'],
    [{ shape, seed: -1 }, RangeError, '"seed"'],
    [{ shape, seed: 'banana' }, TypeError, '"seed" expected an integer in 0..2^64-1, got "banana"'],
    [{ shape, seed: 0, rng: 'dice' }, RangeError, '"rng"'],
    [{ shape, seed: 0, start: { data: new Float32Array(3), shape: [3] } }, RangeError, '"start.shape"'],
    [{ shape, seed: 0, rng: 'torch', first: 4 }, RangeError, '"first"'],
  ])('refuses %j by name', async (options, kind, message) => {
    const attempt = runPlan(plan, separate, options as Parameters<typeof runPlan>[2]);
    await expect(attempt).rejects.toThrow(kind);
    await expect(attempt).rejects.toThrow(message);
  });
});

describe('learned variances', () => {
  it('learned_range at +1 is fixed_large, at -1 fixed_small, within 1e-5', async () => {
    const withVariance =
      (v: number): Denoiser =>
      async (x, timesteps) => {
        const { data } = await separate(x, timesteps);
        const size = data.length / x.shape[0];
        const both = new Float32Array(2 * data.length).fill(v);
        for (let i = 0; i < x.shape[0]; i++) both.set(data.subarray(i * size, (i + 1) * size), 2 * i * size);
        return { data: both, shape: [x.shape[0], 2, 5, 7] };
      };
    const learned = createPlan(linear, { sampler: 'ddpm', steps: 25, varianceType: 'learned_range' });
    for (const [v, varianceType] of [
      [1, 'fixed_large'],
      [-1, 'fixed_small'],
    ] as const) {
      const fixed = createPlan(linear, { sampler: 'ddpm', steps: 25, varianceType });
      const a = await runPlan(learned, withVariance(v), { shape, seed: 2 });
      const b = await runPlan(fixed, separate, { shape, seed: 2 });
      expect(maxDifference(a.data, b.data)).toBeLessThan(1e-5);
    }
  });
});
