import { assertOneOf } from '../core/assert.ts';
import {
  type BetaSchedule,
  parseSchedulerConfig,
  type SchedulerConfig,
  type VarianceType,
} from '../core/schedulerConfig.ts';
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
  /**
   * What L_{t-1} of the bound adds for each unit of mean squared error of the noise, in nats a pixel:
   * beta_t^2 / (2 sigma_t^2 alpha_t (1 - abar_t)) (eq. 12), sigma_t^2 the config's fixed variance, or the posterior's where
   * it is learned. At t = 0 the variance is that of the reconstruction's Gaussian, the posterior's of t = 1; the term
   * itself is a discretised likelihood there, and no multiple of an error.
   */
  readonly vlbWeights: Float64Array;
  /** How much of an image the last step leaves. */
  readonly terminal: Terminal;
}

/** The end of the chain, t = T-1: q(x_T) is N(0, I) when all three are about 0. */
export interface Terminal {
  /** abar_T, the part of the image's variance that is left. */
  readonly alphaCumprod: number;
  /** abar_T / (1 - abar_T). */
  readonly snr: number;
  /**
   * KL(q(x_T given x_0) to N(0, I)), the prior term of the bound, in bits per dimension, of an image whose mean square is
   * 1: the largest that images in [-1, 1] can have.
   */
  readonly kl: number;
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
  return fill({ engine, config, notes, precision, trainTimesteps: T }, trainedBetas, config.rescaleBetasZeroSnr);
}

/** A schedule of other betas, in float64, with the config of the given one. */
export function scheduleOfBetas({ engine, config, notes }: Schedule, betas: ArrayLike<number>): Schedule {
  return fill({ engine, config, notes, precision: 'float64', trainTimesteps: betas.length }, betas, false);
}

/** The logarithm of a fixed reverse variance; that of the posterior for learned ones, whose lower bound it is. */
export function fixedLogVariance(
  { betas, posteriorLogVarianceClipped }: Pick<Schedule, 'betas' | 'posteriorLogVarianceClipped'>,
  varianceType: VarianceType,
  t: number,
): number {
  // the posterior has no variance at t = 0, where both kinds take that of t = 1: a single step has only its beta
  if (betas.length === 1) return Math.log(betas[0]);
  return varianceType.startsWith('fixed_large') && t > 0 ? Math.log(betas[t]) : posteriorLogVarianceClipped[t];
}

/** KL(q(x_T given x_0) to N(0, I)) of an image of a given mean square, in nats a pixel. */
export function terminalKl(alphaCumprod: number, meanSquare: number): number {
  return 0.5 * (alphaCumprod * (meanSquare - 1) - Math.log1p(-alphaCumprod));
}

type Head = Pick<Schedule, 'engine' | 'config' | 'notes' | 'precision' | 'trainTimesteps'>;
type Tables = Pick<Schedule, (typeof tables)[number]>;

/** Adds the tables, by the config's formula or from betas. */
function fill(head: Head, betas: ArrayLike<number> | null, zeroSnr: boolean): Schedule {
  const { engine, config, precision, trainTimesteps: T } = head;
  const arrays = engine.scratch((arena) => {
    const out = arena.alloc(tables.length * T * 8);
    if (betas) arena.f64(out, T).set(betas);
    const kind = betas ? trainedKind : kinds[config.betaSchedule];
    arena.wasm.schedule(out, kind, T, config.betaStart, config.betaEnd, zeroSnr, precision === 'float32');
    return Object.fromEntries(tables.map((name, i) => [name, arena.f64(out + i * T * 8, T).slice()])) as Tables;
  });
  return Object.freeze({ ...head, ...arrays, vlbWeights: boundWeights(config, arrays), terminal: terminalOf(arrays) });
}

function boundWeights({ varianceType }: SchedulerConfig, tables: Tables): Float64Array {
  const { alphas, alphasCumprod, betas } = tables;
  return betas.map((beta, t) => {
    const variance = Math.exp(fixedLogVariance(tables, varianceType, t));
    return beta ** 2 / (2 * variance * alphas[t] * (1 - alphasCumprod[t]));
  });
}

function terminalOf({ alphasCumprod }: Tables): Terminal {
  const alphaCumprod = alphasCumprod[alphasCumprod.length - 1];
  const snr = alphaCumprod / (1 - alphaCumprod);
  return Object.freeze({ alphaCumprod, snr, kl: terminalKl(alphaCumprod, 1) / Math.LN2 });
}
