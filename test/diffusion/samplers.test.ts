import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { samplers } from '../../src/core/schedulerConfig.ts';
import { planFromRows } from '../../src/diffusion/plan.ts';
import {
  createEngine,
  createPlan,
  createSchedule,
  type Denoiser,
  type Plan,
  type PlanOptions,
  type PlanRow,
  runPlan,
} from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';

const engine = await createEngine();
const double = createSchedule(engine, { clip_sample: false }, { precision: 'float64' });
const timesteps = [999, 870, 700, 555, 400, 310, 180, 90, 20];

/** What a row makes of x and start alone: an epsilon model is (x - signal*start)/noise, where b = -noise/signal. */
function inStart({ a, b, x, model, start, sigma }: PlanRow): number[] {
  return [x - (model * a) / b, start + model / b, sigma];
}

function difference(p: Plan, q: Plan): number {
  return maxDifference(p.rows.flatMap(inStart), q.rows.flatMap(inStart));
}

describe('samplers that are the same', () => {
  const ddim = createPlan(double, { sampler: 'ddim', timesteps, useClippedModelOutput: true });

  it('first-order DPM-Solver++ is DDIM with eta 0, within 1e-14 a weight (Lu et al. 2022b, section 4.1)', () => {
    for (const sampler of ['dpm-solver++', 'dpm-solver++-singlestep'] as const)
      expect(difference(createPlan(double, { sampler, solverOrder: 1, timesteps }), ddim)).toBeLessThan(1e-14);
  });

  it('first-order DPM-Solver and DEIS are, within 1e-12', () => {
    const options: PlanOptions[] = [{ sampler: 'dpm-solver++', algorithmType: 'dpmsolver' }, { sampler: 'deis' }];
    for (const each of options) {
      const plan = createPlan(double, { ...each, solverOrder: 1, finalSigmasType: 'zero', timesteps });
      expect(difference(plan, ddim)).toBeLessThan(1e-12);
    }
  });

  it('Euler’s method and first-order LMS in sigma are, within 1e-12', () => {
    for (const each of [{ sampler: 'euler' }, { sampler: 'lms', solverOrder: 1 }] as const)
      expect(difference(createPlan(double, { ...each, timesteps }), ddim)).toBeLessThan(1e-12);
  });

  it('Euler’s method with ancestral noise eta is DDIM with that eta, within 1e-12', () => {
    for (const eta of [0, 0.3, 1]) {
      const ancestral = createPlan(double, { sampler: 'euler-ancestral', timesteps, eta });
      const noisy = createPlan(double, { sampler: 'ddim', timesteps, eta });
      expect(difference(ancestral, noisy)).toBeLessThan(1e-12);
    }
  });

  it('first-order SDE-DPM-Solver++ has the mean and noise of DDPM, within 1e-12', () => {
    const sde = createPlan(double, {
      sampler: 'dpm-solver++',
      algorithmType: 'sde-dpmsolver++',
      solverOrder: 1,
      timesteps,
    });
    expect(difference(sde, createPlan(double, { sampler: 'ddpm', timesteps }))).toBeLessThan(1e-12);
  });

  it('UniPC of order 1 without corrector is DDIM, within 1e-6 a pixel', async () => {
    const unipc = createPlan(double, {
      sampler: 'unipc',
      solverOrder: 1,
      disableCorrector: timesteps.map((_, i) => i),
      timesteps,
    });
    const [a, b] = [await images(unipc), await images(ddim)];
    expect(maxDifference(a, b)).toBeLessThan(1e-6);
  });

  it('edm is heun on Karras’ sigmas', () => {
    const heun = createPlan(double, { sampler: 'heun', useKarrasSigmas: true, steps: 18 });
    expect(createPlan(double, { sampler: 'edm', steps: 18 }).rows).toEqual(heun.rows);
  });
});

const shape = [3, 1, 5, 7];
const denoiser: Denoiser = (x, timesteps) => ({
  data: x.data.map((v) => 0.3 * v + 0.5 * Math.tanh(v) * Math.cos(timesteps[0] / 100)),
  shape: x.shape,
});

async function images(plan: Plan): Promise<Float32Array> {
  const start = { data: Float32Array.from({ length: 105 }, (_, i) => Math.sin(i)), shape };
  return (await runPlan(plan, denoiser, { shape, seed: 3, start })).data;
}

describe('every sampler', () => {
  const schedule = createSchedule(engine, { clip_sample: false });
  const bool = fc.boolean();
  const options = fc.record(
    {
      steps: fc.integer({ min: 4, max: 60 }),
      predictionType: fc.constantFrom('epsilon', 'sample', 'v_prediction'),
      timestepSpacing: fc.constantFrom('leading', 'trailing', 'linspace'),
      stepsOffset: fc.integer({ min: 0, max: 1 }),
      solverOrder: fc.integer({ min: 1, max: 3 }),
      solverType: fc.constantFrom('midpoint', 'heun', 'bh1', 'bh2'),
      algorithmType: fc.constantFrom('dpmsolver++', 'sde-dpmsolver++', 'dpmsolver', 'sde-dpmsolver'),
      finalSigmasType: fc.constantFrom('zero', 'sigma_min'),
      lowerOrderFinal: bool,
      predictX0: bool,
      setAlphaToOne: bool,
      skipPrkSteps: bool,
      thresholding: bool,
      clipSample: bool,
      sChurn: fc.constantFrom(0, 5),
      originalInferenceSteps: fc.constant(60),
    },
    { requiredKeys: ['steps', 'originalInferenceSteps'] },
  ) as fc.Arbitrary<PlanOptions>;
  const spacing = fc.constantFrom('', 'useKarrasSigmas', 'useExponentialSigmas', 'useBetaSigmas', 'useLuLambdas');

  it.each(samplers)(
    '%s fills rows of finite numbers and ends in finite images, whatever the options',
    async (sampler) => {
      const anything = fc.asyncProperty(options, spacing, async (asked, sigmas) => {
        const given = { ...asked, useKarrasSigmas: false, ...(sigmas && { [sigmas]: true }), sampler };
        const plan = createPlan(schedule, given);
        for (const row of plan.rows)
          expect(Object.entries(row).every(([name, value]) => Number.isFinite(value) || name === 'clip')).toBe(true);
        expect((await images(plan)).every(Number.isFinite)).toBe(true);
      });
      await fc.assert(anything, { numRuns: 40 });
    },
  );

  it('gives the same bytes from its printed numbers', async () => {
    for (const sampler of samplers) {
      const plan = createPlan(schedule, { sampler, steps: 4, ...(sampler === 'euler' && { sChurn: 2 }) });
      const { rows, initialScale } = JSON.parse(
        JSON.stringify(plan, (key, value) => (key === 'engine' ? undefined : value)),
      );
      const again = planFromRows(engine, { rows, initialScale, sampler });
      expect(again).toMatchObject({ calls: plan.calls, timesteps: plan.timesteps });
      expect(await images(again)).toEqual(await images(plan));
    }
  });
});

describe('planFromRows', () => {
  const { rows } = createPlan(double, { sampler: 'ddim', steps: 2 });
  it.each([
    [{}, TypeError, '"rows" expected an array of rows, got undefined'],
    [{ rows: [] }, RangeError, '"rows" expected 1 to 1000000 rows'],
    [{ rows: [{ ...rows[0], x: 'a' }] }, TypeError, '"rows[0].x" expected a finite number, got "a"'],
    [{ rows: [{ ...rows[0], x: null }] }, TypeError, '"rows[0].x" expected a finite number, got null'],
    [{ rows: [{ ...rows[0], store: 7 }] }, RangeError, '"rows[0].store" expected a number in 0..6, got 7'],
    [{ rows: [{ ...rows[0], calls: 0.5 }] }, RangeError, '"rows[0].calls" expected an integer in 0..1, got 0.5'],
    [{ rows: [{ ...rows[0], y: 1 }] }, RangeError, '"y" expected no such option'],
    [{ rows: [{ ...rows[0], calls: 0 }] }, RangeError, '"rows" expected a row that calls the network'],
    [{ rows, initialScale: Number.NaN }, RangeError, '"initialScale" expected a finite number'],
  ])('refuses %j by name', (plan, kind, message) => {
    const attempt = () => planFromRows(engine, plan as unknown as Parameters<typeof planFromRows>[1]);
    expect(attempt).toThrow(kind);
    expect(attempt).toThrow(message);
  });
});

describe('another sampler than the config’s', () => {
  it('keeps the trained schedule and what the config says, and takes its own class’s defaults for the rest', () => {
    const schedule = createSchedule(engine, { beta_end: 0.012, prediction_type: 'v_prediction', clip_sample: true });
    const plan = createPlan(schedule, { sampler: 'dpm-solver++', steps: 10 });
    // DPM-Solver++ spaces timesteps by linspace and does not clip
    expect(plan.timesteps[0]).toBe(999);
    expect(plan.rows[0].clip).toBe(Number.POSITIVE_INFINITY);
    expect(plan.rows[0].a).toBeCloseTo(Math.sqrt(schedule.alphasCumprod[999]), 6);
    expect(createPlan(schedule, { sampler: 'dpm-solver++', steps: 10, clipSample: true }).rows[0].clip).toBe(1);
    // the trained betas stay, whatever the defaults of Heun's class
    expect(createPlan(schedule, { sampler: 'heun', steps: 10 }).sigmas[0]).toBeCloseTo(
      Math.sqrt(1 / schedule.alphasCumprod[999] - 1),
      4,
    );
  });
});
