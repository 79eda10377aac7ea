import { assertInteger, assertKeys, assertNumber, assertOneOf } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { classDefaults, readsKey } from '../core/schedulerClasses.ts';
import {
  type AlgorithmType,
  algorithmTypes,
  camelKeys,
  type FinalSigmasType,
  finalSigmasTypes,
  type InterpolationType,
  interpolationTypes,
  type PredictionType,
  predictionTypes,
  type Sampler,
  type SolverType,
  samplers,
  solverTypes,
  type TimestepSpacing,
  type TimestepType,
  timestepSpacings,
  timestepTypes,
  type VarianceType,
  varianceTypes,
} from '../core/schedulerConfig.ts';
import type { Schedule } from './schedule.ts';

/**
 * What a plan may be asked for; all but the first group default to the scheduler config's values, and those to the
 * defaults of the sampler's class in diffusers. A sampler ignores what it has no use for.
 */
export interface PlanOptions {
  /** The sampler; by default the one of the config's class. */
  sampler?: Sampler;
  /** How many steps an image takes: network calls, save that `heun`, `edm`, `dpm2` and `pndm` take more calls. */
  steps?: number;
  /** The timesteps themselves, instead of `steps`: descending, ascending for `ddim-inverse`; real for steps in sigma. */
  timesteps?: readonly number[] | ArrayLike<number>;
  /** OpenAI's choice of timesteps, instead of `steps`: `ddim50`, or a count for each of equal sections, `10,15,20`. */
  timestepRespacing?: string;
  /** `ddim` (default 0), `euler-ancestral`, `dpm2-ancestral` (default 1): 0 is deterministic, 1 is as noisy as DDPM. */
  eta?: number;
  /** `ddim`: derive the noise from the clipped start, as OpenAI's code does. Default false. */
  useClippedModelOutput?: boolean;
  /** `euler`, `edm`: noise added before steps, in all (Karras et al. 2022, S_churn). Default 0. */
  sChurn?: number;
  /** The sigmas between which it is added. Default 0 and Infinity. */
  sTmin?: number;
  sTmax?: number;
  /** How strong it is. Default 1. */
  sNoise?: number;
  /** `euler-maruyama`: steps of Langevin dynamics before each step (Song et al. 2021, algorithm 5). Default 0. */
  correctorSteps?: number;
  /** Their signal-to-noise ratio, the paper's r. Default 0.16. */
  correctorSnr?: number;

  predictionType?: PredictionType;
  /** `ddpm`: the reverse variance. */
  varianceType?: VarianceType;
  /** Clamp each start to +-`clipSampleRange`. */
  clipSample?: boolean;
  clipSampleRange?: number;
  /** Imagen's dynamic thresholding instead of clamping (Saharia et al. 2022, section 2.3). */
  thresholding?: boolean;
  dynamicThresholdingRatio?: number;
  sampleMaxValue?: number;
  timestepSpacing?: TimestepSpacing;
  /** Added to the timesteps of `leading` spacing. */
  stepsOffset?: number;
  /** `ddim`, `pndm`: whether the last step ends without noise, or at the level of t = 0. */
  setAlphaToOne?: boolean;
  /** `dpm-solver++`, `unipc`, `deis`: 1 to 3; `lms`: 1 to 4. */
  solverOrder?: number;
  solverType?: SolverType;
  /** `dpm-solver++`, also singlestep. */
  algorithmType?: AlgorithmType;
  /** Whether runs of fewer than 15 steps end in steps of lower order. */
  lowerOrderFinal?: boolean;
  eulerAtFinal?: boolean;
  /** Whether sigma ends at 0 or at that of t = 0. */
  finalSigmasType?: FinalSigmasType;
  /** `dpm-solver++`: leaves out timesteps whose log(signal/noise) is below. */
  lambdaMinClipped?: number;
  /** Sigmas evenly spaced in sigma^(1/7) (Karras et al. 2022, eq. 5) instead of in timesteps. */
  useKarrasSigmas?: boolean;
  /** Sigmas evenly spaced in log(sigma). */
  useExponentialSigmas?: boolean;
  /** Sigmas by quantiles of the distribution beta(0.6, 0.6) (Lee et al. 2024). */
  useBetaSigmas?: boolean;
  /** `dpm-solver++`: evenly spaced in lambda, its paper's own choice. */
  useLuLambdas?: boolean;
  /** Where such sigmas end and begin; by default where the timesteps do. */
  sigmaMin?: number | null;
  sigmaMax?: number | null;
  /** `euler`: sigmas linear in the timestep, or in their logarithm from T-1 to 0. */
  interpolationType?: InterpolationType;
  /** `euler`: with `continuous` and v_prediction the network is told log(sigma)/4. */
  timestepType?: TimestepType;
  /** `unipc`: integrate the start (default) or the noise. */
  predictX0?: boolean;
  /** `unipc`: steps whose result is not corrected. */
  disableCorrector?: readonly number[];
  /** `pndm`: begin with lower orders instead of Runge-Kutta steps. */
  skipPrkSteps?: boolean;
  /** `lcm`: how many timesteps the model was distilled at. */
  originalInferenceSteps?: number;
  /** `lcm`: multiplies the timestep in the boundary condition. */
  timestepScaling?: number;
}

type Choice = 'timesteps' | 'timestepRespacing';
/** Options with every default filled in. */
export type Settings = Required<Omit<PlanOptions, Choice>> & Pick<PlanOptions, Choice>;

type Check = (value: unknown, name: string, schedule: Schedule) => void;
const flag: Check = (value, name) => {
  if (typeof value !== 'boolean') throw wrongKind(name, 'true or false', value);
};
const integer =
  (min: number, max: number): Check =>
  (value, name) =>
    assertInteger(value, name, min, max);
const timestepCount =
  (min: number): Check =>
  (value, name, { trainTimesteps }) =>
    assertInteger(value, name, min, trainTimesteps);
const number =
  (min?: number, max?: number): Check =>
  (value, name) =>
    assertNumber(value, name, min, max);
const oneOf =
  (choices: readonly string[]): Check =>
  (value, name) =>
    assertOneOf(value, name, choices);
const limit: Check = (value, name) => {
  if (typeof value !== 'number') throw wrongKind(name, 'a number', value);
  if (Number.isNaN(value)) throw wrongValue(name, 'a number', value);
};
const level: Check = (value, name) => {
  if (value === null) return;
  assertNumber(value, name, 0);
  if (value === 0) throw wrongValue(name, 'a number above 0', value);
};
const steps: Check = (value, name) => {
  if (!Array.isArray(value)) throw wrongKind(name, 'an array of step numbers', value);
  for (const step of value) assertInteger(step, `${name}[]`, 0, Number.MAX_SAFE_INTEGER);
};

/** Every option and what it may be; `timesteps` is checked where they are made. */
const checks: { readonly [K in keyof Required<PlanOptions>]: Check } = {
  sampler: oneOf(samplers),
  steps: timestepCount(1),
  timesteps: () => {},
  timestepRespacing: () => {},
  eta: number(0, 1),
  useClippedModelOutput: flag,
  sChurn: number(0),
  sTmin: limit,
  sTmax: limit,
  sNoise: number(0),
  correctorSteps: integer(0, 100),
  correctorSnr: number(0),
  predictionType: oneOf(predictionTypes),
  varianceType: oneOf(varianceTypes),
  clipSample: flag,
  clipSampleRange: number(0),
  thresholding: flag,
  dynamicThresholdingRatio: number(0, 1),
  sampleMaxValue: number(1),
  timestepSpacing: oneOf(timestepSpacings),
  stepsOffset: timestepCount(0),
  setAlphaToOne: flag,
  solverOrder: integer(1, 4),
  solverType: oneOf(solverTypes),
  algorithmType: oneOf(algorithmTypes),
  lowerOrderFinal: flag,
  eulerAtFinal: flag,
  finalSigmasType: oneOf(finalSigmasTypes),
  lambdaMinClipped: limit,
  useKarrasSigmas: flag,
  useExponentialSigmas: flag,
  useBetaSigmas: flag,
  useLuLambdas: flag,
  sigmaMin: level,
  sigmaMax: level,
  interpolationType: oneOf(interpolationTypes),
  timestepType: oneOf(timestepTypes),
  predictX0: flag,
  disableCorrector: steps,
  skipPrkSteps: flag,
  originalInferenceSteps: timestepCount(1),
  timestepScaling: number(),
};
const optionNames = Object.keys(checks) as (keyof PlanOptions)[];

/** Fills in the defaults and checks every option once; names may also be spelt as diffusers spells them. */
export function planSettings(schedule: Schedule, options: PlanOptions): Settings {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const given = camelKeys(options) as PlanOptions;
  assertKeys(given, 'a plan', optionNames);
  for (const key of optionNames) if (given[key] === undefined) delete given[key];

  const sampler = chooseSampler(schedule, given.sampler);
  for (const key of ['timesteps', 'timestepRespacing'] as const)
    if (given.steps !== undefined && given[key] !== undefined)
      throw wrongValue(key, 'no "steps" beside it, as the list says how many', given[key]);
  const settings = { ...defaultsOf(schedule, sampler), ...given, sampler } as Settings;
  for (const name of optionNames) {
    // what only the config says is of no concern where the sampler does not read it
    if (settings[name] !== undefined) checks[name](settings[name], name, schedule);
  }
  return settings;
}

/** What a plan takes where it is not asked for anything else. */
function defaultsOf({ config, trainTimesteps: T }: Schedule, sampler: Sampler): object {
  const own = classDefaults(sampler);
  const said = sampler === config.sampler ? config : config.given;
  const read = Object.entries(said).filter(([key]) => readsKey(sampler, key));
  const defaults: Record<string, unknown> = {
    ...own,
    steps: sampler === 'ddpm' || sampler === 'euler-maruyama' ? T : Math.min(sampler === 'lcm' ? 4 : 50, T),
    eta: sampler === 'euler-ancestral' || sampler === 'dpm2-ancestral' ? 1 : 0,
    useClippedModelOutput: false,
    sChurn: 0,
    sTmin: 0,
    sTmax: Number.POSITIVE_INFINITY,
    sNoise: 1,
    correctorSteps: 0,
    correctorSnr: 0.16,
    ...Object.fromEntries(read),
    originalInferenceSteps: config.given.originalInferenceSteps ?? Math.min(50, T),
    // what the network predicts was settled in training
    predictionType: config.predictionType,
  };
  return Object.fromEntries(Object.entries(defaults).filter(([key]) => key in checks));
}

function chooseSampler({ config }: Schedule, asked: unknown): Sampler {
  if (asked !== undefined) {
    assertOneOf(asked, 'sampler', samplers);
    return asked;
  }
  if (config.sampler) return config.sampler;
  throw wrongValue(
    'sampler',
    `one of ${samplers.join(', ')}, as there is no plan for this scheduler`,
    config.className,
  );
}
