import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEngine, createPlan, createSchedule, type PlanOptions, type PlanRow } from '../../src/index.ts';

const engine = await createEngine();
const linear = createSchedule(engine, {});
const double = createSchedule(engine, {}, { precision: 'float64' });

describe('DDIM with eta 1 is DDPM with the small fixed variance (Song et al. 2021, section 4.1)', () => {
  // with the noise rederived from the start both are combinations of x and start alone
  const weights = ({ x, start, sigma, model }: PlanRow) => [x, start, sigma, model];
  const compare = (options: PlanOptions, schedule = linear) => {
    const ddpm = createPlan(schedule, { ...options, sampler: 'ddpm' }).rows;
    const ddim = createPlan(schedule, { ...options, sampler: 'ddim', eta: 1, useClippedModelOutput: true }).rows;
    return Math.max(...ddpm.flatMap((row, i) => weights(row).map((w, j) => Math.abs(w - weights(ddim[i])[j]))));
  };

  it('for consecutive timesteps within 1e-12 a weight', () => {
    expect(compare({ steps: 1000 })).toBeLessThan(1e-12);
    expect(compare({ steps: 1000 }, double)).toBeLessThan(1e-12);
  });

  it('for any timesteps within 1e-12 a weight', () => {
    for (const timestepSpacing of ['leading', 'trailing', 'linspace'] as const)
      for (const steps of [2, 7, 50, 333]) expect(compare({ steps, timestepSpacing })).toBeLessThan(1e-12);
  });
});

describe('every row of every sampler', () => {
  const options = fc.record(
    {
      sampler: fc.constantFrom('ddpm', 'ddim', 'ddim-inverse'),
      steps: fc.integer({ min: 1, max: 300 }),
      eta: fc.double({ min: 0, max: 1, noNaN: true }),
      predictionType: fc.constantFrom('epsilon', 'sample', 'v_prediction'),
      timestepSpacing: fc.constantFrom('leading', 'trailing', 'linspace'),
      stepsOffset: fc.integer({ min: 0, max: 1 }),
      setAlphaToOne: fc.boolean(),
      useClippedModelOutput: fc.boolean(),
    },
    { requiredKeys: ['sampler'] },
  ) as fc.Arbitrary<PlanOptions>;

  it('recovers a known image: with the exact prediction, start is x_0 and x has the next level’s noise, within 1e-6', () => {
    fc.assert(
      fc.property(options, fc.double({ min: -0.9, max: 0.9, noNaN: true }), (options, x0) => {
        const plan = createPlan(double, options);
        const { predictionType = 'epsilon', setAlphaToOne = true } = options;
        const inverse = plan.sampler === 'ddim-inverse';
        const clean = (setAlphaToOne && !(inverse && predictionType === 'sample')) || plan.sampler === 'ddpm';
        const last = clean ? 1 : double.alphasCumprod[0];
        const levels = plan.timesteps.map((t) => double.alphasCumprod[t]);
        const from = inverse ? [last, ...levels.slice(0, -1)] : levels;
        const to = inverse ? levels : [...levels.slice(1), last];
        const noise = 0.7;
        for (const [i, row] of plan.rows.entries()) {
          const x = Math.sqrt(from[i]) * x0 + Math.sqrt(1 - from[i]) * noise;
          const velocity = Math.sqrt(from[i]) * noise - Math.sqrt(1 - from[i]) * x0;
          const model = { epsilon: noise, sample: x0, v_prediction: velocity }[predictionType];
          const start = row.a * x + row.b * model;
          expect(start).toBeCloseTo(x0, 6);
          // the mean of x' around sqrt(abar) x_0, and all of its noise, drawn or kept, in quadrature
          const mean = row.x * x + row.model * model + row.start * start - Math.sqrt(to[i]) * x0;
          const kept = mean / noise;
          expect(kept ** 2 + row.sigma ** 2).toBeCloseTo(1 - to[i], 6);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('draws no noise at the last step of ddpm, and none anywhere in ddim with eta 0', () => {
    fc.assert(
      fc.property(options, (options) => {
        const { rows, sampler } = createPlan(linear, { ...options, eta: 0 });
        if (sampler === 'ddpm') expect(rows.at(-1)!.sigma).toBe(0);
        else expect(rows.every((row) => row.sigma === 0)).toBe(true);
      }),
    );
  });
});

describe('variances of ddpm', () => {
  it('fixed_small is the posterior variance, fixed_large is beta (eq. 7), within 1e-12', () => {
    const small = createPlan(double, { steps: 1000, varianceType: 'fixed_small' }).rows;
    const large = createPlan(double, { steps: 1000, varianceType: 'fixed_large' }).rows;
    for (const t of [1, 2, 487, 999]) {
      expect(small[999 - t].sigma ** 2).toBeCloseTo(double.posteriorVariance[t], 12);
      expect(large[999 - t].sigma ** 2).toBeCloseTo(double.betas[t], 12);
    }
  });

  it('learned_range lies between their logarithms, learned takes the network’s own', () => {
    const { rows, learnedVariance } = createPlan(double, { steps: 1000, varianceType: 'learned_range' });
    expect(learnedVariance).toBe(true);
    expect(rows[500].variance).toBe(2);
    expect(Math.exp(rows[500].logVarianceMin)).toBeCloseTo(double.posteriorVariance[499], 12);
    expect(Math.exp(rows[500].logVarianceMax)).toBeCloseTo(double.betas[499], 12);
    expect(createPlan(double, { varianceType: 'learned' }).rows[0]).toMatchObject({ variance: 1, sigma: 1 });
  });
});

describe('what a plan may be asked for', () => {
  it('takes the sampler and options of the config, spelt either way, and lets options win', () => {
    const schedule = createSchedule(engine, {
      _class_name: 'DDIMScheduler',
      clip_sample: false,
      timestep_spacing: 'trailing',
    });
    expect(createPlan(schedule, { steps: 4 })).toMatchObject({ sampler: 'ddim', timesteps: [999, 749, 499, 249] });
    expect(createPlan(schedule).rows[0].clip).toBe(Number.POSITIVE_INFINITY);
    expect(createPlan(schedule, { clip_sample: true, clipSampleRange: 2 } as PlanOptions).rows[0].clip).toBe(2);
    expect(createPlan(schedule, { sampler: 'ddpm' }).rows).toHaveLength(1000);
  });

  it('takes custom timesteps', () => {
    expect(createPlan(linear, { timesteps: [900, 300, 20] }).timesteps).toEqual([900, 300, 20]);
    expect(createPlan(linear, { sampler: 'ddim-inverse', timesteps: [20, 300] }).timesteps).toEqual([20, 300]);
  });

  it.each([
    [{ steps: 0 }, RangeError, '"steps" expected an integer in 1..1000, got 0'],
    [{ steps: 5000 }, RangeError, '"steps" expected an integer in 1..1000, got 5000'],
    [{ steps: '10' }, TypeError, '"steps" expected an integer in 1..1000, got "10"'],
    [{ sampler: 'plms' }, RangeError, '"sampler" expected one of ddpm, ddim, ddim-inverse, dpm-solver++'],
    [
      { timesteps: [100, 100] },
      RangeError,
      '"timesteps" expected strictly descending integers in 0..999, got [100, 100]',
    ],
    [{ timesteps: [1000] }, RangeError, '"timesteps" expected strictly descending integers in 0..999, got [1000]'],
    [{ timesteps: [] }, RangeError, '"timesteps"'],
    [{ timesteps: [5], steps: 1 }, RangeError, '"timesteps" expected no "steps" beside it'],
    [{ eta: -1 }, RangeError, '"eta" expected a number in 0..1, got -1'],
    [{ clipSample: 'yes' }, TypeError, '"clipSample" expected true or false, got "yes"'],
    [{ stpes: 10 }, RangeError, '"stpes" expected no such option'],
  ])('%o is refused by name', (options, kind, message) => {
    const attempt = () => createPlan(linear, options as PlanOptions);
    expect(attempt).toThrow(kind);
    expect(attempt).toThrow(message);
  });

  it('refuses to predict noise where there is nothing else', () => {
    const schedule = createSchedule(engine, { rescale_betas_zero_snr: true, timestep_spacing: 'trailing' });
    expect(() => createPlan(schedule, { steps: 10 })).toThrow('"predictionType" expected sample or v_prediction');
    expect(createPlan(schedule, { steps: 10, predictionType: 'v_prediction' }).rows).toHaveLength(10);
  });
});
