import * as v from 'valibot';
import { DdpmError, show } from './errors.ts';

/** How betas grow: the values of diffusers' `beta_schedule`. */
export const betaSchedules = ['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace'] as const;
/** What the network predicts: the noise, the clean image, or the velocity of Salimans and Ho 2022. */
export const predictionTypes = ['epsilon', 'sample', 'v_prediction'] as const;
/** The reverse variance of DDPM: diffusers' `variance_type`. */
export const varianceTypes = [
  'fixed_small',
  'fixed_small_log',
  'fixed_large',
  'fixed_large_log',
  'learned',
  'learned_range',
] as const;
/** How fewer steps than the model was trained with are placed: Lin et al. 2024, table 2. */
export const timestepSpacings = ['leading', 'trailing', 'linspace'] as const;

export type BetaSchedule = (typeof betaSchedules)[number];
export type PredictionType = (typeof predictionTypes)[number];
export type VarianceType = (typeof varianceTypes)[number];
export type TimestepSpacing = (typeof timestepSpacings)[number];

/** The samplers that a plan can be made for. */
export const samplers = ['ddpm', 'ddim', 'ddim-inverse'] as const;
export type Sampler = (typeof samplers)[number];

// classes without a sampler share the trained schedule, so that another sampler can take over, as from_config does
const schedulerClasses: Record<string, Sampler | undefined> = {
  DDPMScheduler: 'ddpm',
  DDIMScheduler: 'ddim',
  DDIMInverseScheduler: 'ddim-inverse',
  DDPMParallelScheduler: 'ddpm',
  DDIMParallelScheduler: 'ddim',
  DEISMultistepScheduler: undefined,
  DPMSolverMultistepScheduler: undefined,
  DPMSolverSDEScheduler: undefined,
  DPMSolverSinglestepScheduler: undefined,
  EulerAncestralDiscreteScheduler: undefined,
  EulerDiscreteScheduler: undefined,
  HeunDiscreteScheduler: undefined,
  KDPM2AncestralDiscreteScheduler: undefined,
  KDPM2DiscreteScheduler: undefined,
  LCMScheduler: undefined,
  LMSDiscreteScheduler: undefined,
  PNDMScheduler: undefined,
  UniPCMultistepScheduler: undefined,
};

const maxTrainTimesteps = 100_000;

const timestepCount = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxTrainTimesteps));
const betaBound = v.pipe(v.number(), v.gtValue(0), v.ltValue(1));

/** The options of diffusers' schedulers that shape a schedule or a plan, with the defaults of its classes. */
const schedulerSchema = v.object({
  num_train_timesteps: v.optional(timestepCount, 1000),
  beta_start: v.optional(v.number(), 0.0001),
  beta_end: v.optional(v.number(), 0.02),
  beta_schedule: v.optional(v.picklist(betaSchedules), 'linear'),
  trained_betas: v.nullish(v.pipe(v.array(betaBound), v.minLength(1), v.maxLength(maxTrainTimesteps)), null),
  rescale_betas_zero_snr: v.optional(v.boolean(), false),
  prediction_type: v.optional(v.picklist(predictionTypes), 'epsilon'),
  variance_type: v.nullish(v.picklist(varianceTypes), 'fixed_small'),
  clip_sample: v.optional(v.boolean(), true),
  clip_sample_range: v.nullish(v.pipe(v.number(), v.gtValue(0)), 1),
  thresholding: v.optional(v.boolean(), false),
  dynamic_thresholding_ratio: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)), 0.995),
  sample_max_value: v.optional(v.pipe(v.number(), v.minValue(1)), 1),
  timestep_spacing: v.optional(v.picklist(timestepSpacings), 'leading'),
  steps_offset: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maxTrainTimesteps)), 0),
  set_alpha_to_one: v.optional(v.boolean(), true),
});

type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;
type Parsed = v.InferOutput<typeof schedulerSchema>;

/** A scheduler_config.json in this package's names (`clip_sample` is `clipSample`), every default filled in. */
export type SchedulerConfig = { [K in keyof Parsed as Camel<K>]: NonNullable<Parsed[K]> } & {
  trainedBetas: number[] | null;
  /** diffusers' class: names the sampler that the model comes with. */
  className: string;
  /** The sampler of the class; undefined where there is no plan for it here. */
  sampler: Sampler | undefined;
};

/**
 * Reads a diffusers scheduler_config.json object, `_class_name` included.
 *
 * Absent keys take the defaults of diffusers' classes; keys that no schedule or plan here reads are named in `notes`.
 *
 * @throws DdpmError `config-invalid` naming the key, what was expected and what came.
 */
export function parseSchedulerConfig(
  json: unknown,
  file = 'scheduler_config.json',
): { config: SchedulerConfig; notes: string[] } {
  const raw = configObject(json, file);
  const className = raw._class_name ?? 'DDPMScheduler';
  if (typeof className !== 'string' || !Object.hasOwn(schedulerClasses, className)) {
    const known = Object.keys(schedulerClasses).join(', ');
    throw new DdpmError('config-invalid', `${file}: "_class_name" expected one of ${known}, got ${show(className)}`);
  }
  const parsed = v.safeParse(schedulerSchema, raw);
  if (!parsed.success) throw new DdpmError('config-invalid', `${file}: ${firstIssue(parsed.issues)}`);
  const notes = unknownKeys(raw, Object.keys(schedulerSchema.entries), file);

  const { trained_betas: trained } = parsed.output;
  checkBetas(parsed.output, raw, file);
  if (trained?.some((beta, i) => i > 0 && beta <= trained[i - 1]))
    notes.push(`${file}: "trained_betas" do not increase; taken as they are`);

  const config = camelKeys(parsed.output) as unknown as SchedulerConfig;
  if (trained) config.numTrainTimesteps = trained.length;
  return { config: Object.assign(config, { className, sampler: schedulerClasses[className] }), notes };
}

/** Betas must lie in (0, 1) and grow (Ho et al. 2020, section 2), unless they were given one by one. */
function checkBetas(config: Parsed, raw: Record<string, unknown>, file: string): void {
  const { beta_start: start, beta_end: end, trained_betas: trained } = config;
  if (trained) {
    if (raw.num_train_timesteps !== undefined && raw.num_train_timesteps !== trained.length)
      throw new DdpmError(
        'config-invalid',
        `${file}: "trained_betas" expected ${show(raw.num_train_timesteps)} values, as "num_train_timesteps" says, got ${trained.length}`,
      );
  } else if (config.beta_schedule !== 'squaredcos_cap_v2' && config.beta_schedule !== 'laplace') {
    if (!(start > 0 && start < end && end < 1))
      throw new DdpmError(
        'config-invalid',
        `${file}: "beta_start" and "beta_end" expected 0 < beta_start < beta_end < 1, got ${start} and ${end}`,
      );
  }
}

/** The JSON object of a config file, or an error that names the file. */
export function configObject(json: unknown, file: string): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new DdpmError('config-invalid', `${file}: expected a JSON object, got ${show(json)}`);
  return json as Record<string, unknown>;
}

/** A note for keys that nothing reads; keys with a leading underscore are diffusers' own. */
export function unknownKeys(raw: object, known: readonly string[], file: string): string[] {
  const unknown = Object.keys(raw).filter((key) => !key.startsWith('_') && !known.includes(key));
  return unknown.length ? [`${file}: ignored ${unknown.map(show).join(', ')}`] : [];
}

/** The first complaint of valibot as one clause: the key, what was expected, what came. */
export function firstIssue(issues: readonly v.BaseIssue<unknown>[]): string {
  const issue = issues[0];
  const key = v.getDotPath(issue) ?? 'value';
  const expected = issue.expected
    ?.replaceAll('"', '')
    .replaceAll(' | ', ', ')
    .replace(/^\((.*)\)$/, 'one of $1');
  return `"${key}" expected ${expected ?? issue.message}, got ${show(issue.input)}`;
}

/** `clip_sample` becomes `clipSample`, for each key of an object. */
export function camelKeys(object: object): Record<string, unknown> {
  const camel = (key: string) => key.replace(/_+([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [camel(key), value]));
}
