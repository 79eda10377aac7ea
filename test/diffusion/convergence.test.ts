import { describe, expect, it } from 'vitest';
import { createEngine, createPlan, createSchedule, type Denoiser, type PlanOptions, runPlan } from '../../src/index.ts';

// A mixture of two normal distributions in one dimension: its score is known at every level of noise, and the probability
// flow dx/dsigma = eps(x, sigma) is integrated to 1e-12 by Runge-Kutta steps in log(sigma).
const mixture = [
  { weight: 0.35, mean: -0.7, deviation: 0.25 },
  { weight: 0.65, mean: 0.5, deviation: 0.35 },
];

/** The best noise prediction at x = x_0 + sigma*eps. */
function noise(x: number, sigma: number): number {
  let density = 0;
  let slope = 0;
  for (const { weight, mean, deviation } of mixture) {
    const variance = deviation ** 2 + sigma ** 2;
    const p = (weight / Math.sqrt(variance)) * Math.exp((-0.5 * (x - mean) ** 2) / variance);
    density += p;
    slope += (p * (x - mean)) / variance;
  }
  return (sigma * slope) / density;
}

function flow(x: number, from: number, to: number): number {
  const steps = 2000;
  const h = Math.log(to / from) / steps;
  const f = (u: number, x: number) => Math.exp(u) * noise(x, Math.exp(u));
  for (let i = 0; i < steps; i++) {
    const u = Math.log(from) + i * h;
    const k1 = f(u, x);
    const k2 = f(u + h / 2, x + (h / 2) * k1);
    const k3 = f(u + h / 2, x + (h / 2) * k2);
    const k4 = f(u + h, x + h * k3);
    x += (h / 6) * (k1 + 2 * k2 + 2 * k3 + k4);
  }
  return x;
}

const engine = await createEngine();
const T = 480;
const schedule = createSchedule(
  engine,
  { _class_name: 'PNDMScheduler', beta_start: 0.004, beta_end: 0.02, num_train_timesteps: T },
  { precision: 'float64' },
);
const levels = Array.from(schedule.alphasCumprod, (a) => Math.sqrt((1 - a) / a));
const starts = Float32Array.from({ length: 33 }, (_, i) => -2 + i / 8);

/** Real timesteps whose sigmas, linear between those of the table, are evenly spaced in log(sigma). */
function evenTimesteps(n: number): number[] {
  return Array.from({ length: n }, (_, i) => {
    const sigma = levels[T - 1] * (levels[0] / levels[T - 1]) ** (i / n);
    const above = Math.min(
      levels.findIndex((level) => level >= sigma),
      T - 1,
    );
    const low = Math.max(above - 1, 0);
    return low + (sigma - levels[low]) / (levels[low + 1] - levels[low]);
  });
}

/** The mean error at the level of t = 0 over 33 starts. */
async function errorOf(options: PlanOptions): Promise<number> {
  const plan = createPlan(schedule, {
    clipSample: false,
    finalSigmasType: 'sigma_min',
    lowerOrderFinal: false,
    setAlphaToOne: false,
    ...options,
  });
  // a row says which sigma it asks at: start = x/signal - sigma*model
  const asked = plan.rows.filter((row) => row.calls > 0).map((row) => -row.b);
  let call = 0;
  const denoiser: Denoiser = (x) => {
    const sigma = asked[call++];
    const unit = Math.sqrt(1 + sigma * sigma);
    return { data: x.data.map((v) => noise(v * unit, sigma)), shape: x.shape };
  };
  const shape = [starts.length, 1, 1, 1];
  const { data } = await runPlan(plan, denoiser, { shape, seed: 0, start: { shape, data: starts } });
  const first = Math.sqrt(1 + asked[0] ** 2) * plan.initialScale;
  // samplers that step in sigma return units of the image
  const last = plan.initialScale === 1 ? Math.sqrt(1 + levels[0] ** 2) : 1;
  const errors = Array.from(starts, (x, i) => Math.abs(data[i] * last - flow(x * first, asked[0], levels[0])));
  return errors.reduce((sum, error) => sum + error, 0) / errors.length;
}

/** The options in one line. */
function nameOf({ disableCorrector, ...options }: PlanOptions): string {
  return [...Object.values(options), ...(disableCorrector ? ['without corrector'] : [])].join(' ');
}

describe('on a mixture’s probability flow the error falls with at least 0.9 times the order', () => {
  const never = Array.from({ length: T }, (_, i) => i);
  // steps are chosen where a method is past its start and its error above what float32 pixels can show, about 1e-6
  const cases: [order: number, steps: number, options: PlanOptions][] = [
    [1, 24, { sampler: 'euler' }],
    [2, 24, { sampler: 'heun' }],
    [2, 24, { sampler: 'edm', useKarrasSigmas: false }],
    [2, 24, { sampler: 'dpm2' }],
    [1, 24, { sampler: 'lms', solverOrder: 1 }],
    [2, 48, { sampler: 'lms', solverOrder: 2 }],
    [3, 48, { sampler: 'lms', solverOrder: 3 }],
    [4, 40, { sampler: 'lms', solverOrder: 4 }],
    ...[1, 2, 3].map((solverOrder): [number, number, PlanOptions] => [
      solverOrder,
      12,
      { sampler: 'deis', solverOrder },
    ]),
    ...(['midpoint', 'heun'] as const).flatMap((solverType) =>
      (['dpmsolver++', 'dpmsolver'] as const).flatMap((algorithmType): [number, number, PlanOptions][] => [
        [1, 24, { sampler: 'dpm-solver++', solverOrder: 1, solverType, algorithmType }],
        [2, 24, { sampler: 'dpm-solver++', solverOrder: 2, solverType, algorithmType }],
        // its second difference is half of what a third order needs, in the paper's code and in diffusers
        [2, 24, { sampler: 'dpm-solver++', solverOrder: 3, solverType, algorithmType }],
        [1, 24, { sampler: 'dpm-solver++-singlestep', solverOrder: 1, solverType, algorithmType }],
        [2, 24, { sampler: 'dpm-solver++-singlestep', solverOrder: 2, solverType, algorithmType }],
        [3, 12, { sampler: 'dpm-solver++-singlestep', solverOrder: 3, solverType, algorithmType }],
      ]),
    ),
    ...(['bh1', 'bh2'] as const).flatMap((solverType) =>
      [1, 2, 3].flatMap((solverOrder): [number, number, PlanOptions][] => [
        [solverOrder, 12, { sampler: 'unipc', solverOrder, solverType, disableCorrector: never }],
        // the corrector adds an order
        [solverOrder + 1, 12, { sampler: 'unipc', solverOrder, solverType }],
        [solverOrder + 1, 12, { sampler: 'unipc', solverOrder, solverType, predictX0: false }],
      ]),
    ),
  ];
  it.each(cases.map((c) => [c[0], c[1], nameOf(c[2]), c[2]] as const))(
    '%i from %i steps on: %s',
    async (order, steps, _, options) => {
      const errors = [];
      for (const n of [steps, 2 * steps, 4 * steps])
        errors.push(await errorOf({ ...options, timesteps: evenTimesteps(n) }));
      const slope = Math.log2(errors[0] / errors[2]) / 2;
      expect(slope).toBeGreaterThan(0.9 * order);
    },
  );

  it.each([false, true])('2 from 120 steps on, evenly in timesteps: pndm, skipPrkSteps %j', async (skipPrkSteps) => {
    const errors = [];
    for (const steps of [120, 240]) errors.push(await errorOf({ sampler: 'pndm', skipPrkSteps, steps }));
    expect(Math.log2(errors[0] / errors[1])).toBeGreaterThan(0.9 * 2);
  });

  it('1 from 120 steps on, evenly in timesteps: ddim', async () => {
    const errors = [];
    for (const steps of [120, 240]) errors.push(await errorOf({ sampler: 'ddim', steps }));
    expect(Math.log2(errors[0] / errors[1])).toBeGreaterThan(0.9);
  });
});
