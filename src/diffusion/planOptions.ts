import { assertInteger, assertKeys, assertNumber, assertOneOf } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import {
  camelKeys,
  type PredictionType,
  predictionTypes,
  type Sampler,
  samplers,
  type TimestepSpacing,
  timestepSpacings,
  type VarianceType,
  varianceTypes,
} from '../core/schedulerConfig.ts';
import type { Schedule } from './schedule.ts';

/** What a plan may be asked for; all but the first five default to the scheduler config's values. */
export interface PlanOptions {
  /** The sampler; by default the one of the config's class. */
  sampler?: Sampler;
  /** How many network calls an image takes. */
  steps?: number;
  /** The timesteps themselves, instead of `steps`: descending, ascending for `ddim-inverse`. */
  timesteps?: readonly number[] | ArrayLike<number>;
  /** `ddim`: 0 (default) is deterministic, 1 is as noisy as DDPM. */
  eta?: number;
  /** `ddim`: derive the noise from the clipped start, as OpenAI's code does. Default false. */
  useClippedModelOutput?: boolean;
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
  /** `ddim`: whether the last step ends without noise (default), or at the level of t = 0. */
  setAlphaToOne?: boolean;
}

/** Options with every default filled in. */
export type Settings = Required<Omit<PlanOptions, 'timesteps'>> & Pick<PlanOptions, 'timesteps'>;

const optionNames = [
  'sampler',
  'steps',
  'timesteps',
  'eta',
  'useClippedModelOutput',
  'predictionType',
  'varianceType',
  'clipSample',
  'clipSampleRange',
  'thresholding',
  'dynamicThresholdingRatio',
  'sampleMaxValue',
  'timestepSpacing',
  'stepsOffset',
  'setAlphaToOne',
] as const satisfies readonly (keyof PlanOptions)[];

/** Fills in the defaults and checks every option once; names may also be spelt as diffusers spells them. */
export function planSettings(schedule: Schedule, options: PlanOptions): Settings {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const given = camelKeys(options) as PlanOptions;
  assertKeys(given, 'a plan', optionNames);
  for (const key of optionNames) if (given[key] === undefined) delete given[key];

  const { config, trainTimesteps: T } = schedule;
  const sampler = chooseSampler(schedule, given.sampler);
  if (given.steps !== undefined && given.timesteps !== undefined)
    throw wrongValue('timesteps', 'no "steps" beside it, as the list says how many', given.timesteps);
  const steps = sampler === 'ddpm' ? T : Math.min(50, T);
  const settings: Settings = { ...config, steps, eta: 0, useClippedModelOutput: false, ...given, sampler };

  assertInteger(settings.steps, 'steps', 1, T);
  assertInteger(settings.stepsOffset, 'stepsOffset', 0, T);
  assertNumber(settings.eta, 'eta', 0, 1);
  assertNumber(settings.dynamicThresholdingRatio, 'dynamicThresholdingRatio', 0, 1);
  assertNumber(settings.sampleMaxValue, 'sampleMaxValue', 1);
  assertNumber(settings.clipSampleRange, 'clipSampleRange', 0);
  assertOneOf(settings.predictionType, 'predictionType', predictionTypes);
  assertOneOf(settings.varianceType, 'varianceType', varianceTypes);
  assertOneOf(settings.timestepSpacing, 'timestepSpacing', timestepSpacings);
  for (const key of ['useClippedModelOutput', 'clipSample', 'thresholding', 'setAlphaToOne'] as const)
    if (typeof settings[key] !== 'boolean') throw wrongKind(key, 'true or false', settings[key]);
  return settings;
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
