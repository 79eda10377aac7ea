import { assertOneOf } from '../core/assert.ts';
import { type BetaSchedule, parseSchedulerConfig, type SchedulerConfig } from '../core/schedulerConfig.ts';
import type { Engine } from '../engine/engine.ts';

/** A noise schedule of T steps. Arrays are indexed by t in 0..T-1, where t = 0 is one step of noise. */
export interface Schedule {
  readonly engine: Engine;
  /** The scheduler's config with every default filled in. */
  readonly config: SchedulerConfig;
  /** What was ignored or assumed while reading the config. */
  readonly notes: readonly string[];
  /** What betas, alphas and alphasCumprod are held in. */
  readonly precision: 'float32' | 'float64';
  /** T, the number of steps that the model was trained with. */
  readonly trainTimesteps: number;
  /** beta_t, the variance that step t adds (Ho et al. 2020, eq. 2). */
  readonly betas: Float64Array;
  /** alpha_t = 1 - beta_t. */
  readonly alphas: Float64Array;
  /** abar_t, the product of alphas up to t: the part of the image's variance that is left (eq. 4). */
  readonly alphasCumprod: Float64Array;
  /** The variance of q(x_{t-1} given x_t, x_0) (eq. 7); zero at t = 0. */
  readonly posteriorVariance: Float64Array;
  /** Its logarithm, with the value of t = 1 at t = 0, where the variance itself is zero. */
  readonly posteriorLogVarianceClipped: Float64Array;
  /** The weight of x_0 in the posterior's mean (eq. 7). */
  readonly posteriorMeanCoef1: Float64Array;
  /** The weight of x_t in the posterior's mean (eq. 7). */
  readonly posteriorMeanCoef2: Float64Array;
  /** log(abar_t / (1 - abar_t)), the logarithm of the signal-to-noise ratio. */
  readonly logSnr: Float64Array;
}

/** The order of the tables in assembly/schedule.ts. */
const tables = [
  'betas',
  'alphas',
  'alphasCumprod',
  'posteriorVariance',
  'posteriorLogVarianceClipped',
  'posteriorMeanCoef1',
  'posteriorMeanCoef2',
  'logSnr',
] as const;

/** The numbers of assembly/schedule.ts; trained betas are 5. */
const kinds: Record<BetaSchedule, number> = {
  linear: 0,
  scaled_linear: 1,
  squaredcos_cap_v2: 2,
  sigmoid: 3,
  laplace: 4,
  exp: 6,
};
const trainedKind = 5;

/**
 * The noise schedule of a diffusers scheduler config, `_class_name` included.
 *
 * By default betas, alphas and alphasCumprod hold the float32 values that the model was trained against, bit for bit;
 * what is derived from them is float64. `precision: 'float64'` computes everything in float64, as OpenAI's code does.
 *
 * @throws DdpmError `config-invalid` naming the key that cannot be used.
 * @example
 * const schedule = createSchedule(engine, { _class_name: 'DDPMScheduler', beta_schedule: 'linear' });
 * schedule.alphasCumprod[999]; // 4.035830352e-5
 */
export function createSchedule(
  engine: Engine,
  schedulerConfig: object,
  options: { precision?: 'float32' | 'float64' } = {},
): Schedule {
  const { precision = 'float32' } = options;
  assertOneOf(precision, 'precision', ['float32', 'float64']);
  const { config, notes } = parseSchedulerConfig(schedulerConfig);
  const { numTrainTimesteps: T, trainedBetas } = config;

  return engine.scratch((arena) => {
    const out = arena.alloc(tables.length * T * 8);
    if (trainedBetas) arena.f64(out, T).set(trainedBetas);
    arena.wasm.schedule(
      out,
      trainedBetas ? trainedKind : kinds[config.betaSchedule],
      T,
      config.betaStart,
      config.betaEnd,
      config.rescaleBetasZeroSnr,
      precision === 'float32',
    );
    const arrays = tables.map((name, i) => [name, arena.f64(out + i * T * 8, T).slice()]);
    return Object.freeze({ engine, config, notes, precision, trainTimesteps: T, ...Object.fromEntries(arrays) });
  });
}
