import * as v from 'valibot';
import { DdpmError, show } from './errors.ts';
import type { Sampler } from './samplers.ts';
import { classDefaults, schedulerClasses } from './schedulerClasses.ts';

export { type Sampler, samplers } from './samplers.ts';

/** How betas grow: the values of diffusers' `beta_schedule`. */
export const betaSchedules = ['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace', 'exp'] as const;
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

/** What DPM-Solver integrates, the start (++) or the noise, and whether it adds noise. */
export const algorithmTypes = ['dpmsolver++', 'sde-dpmsolver++', 'dpmsolver', 'sde-dpmsolver'] as const;
/** The rule of second order of DPM-Solver (midpoint, heun), the B(h) of UniPC (bh1, bh2), the space of DEIS (logrho). */
export const solverTypes = ['midpoint', 'heun', 'bh1', 'bh2', 'logrho'] as const;
/** The noise level that a run ends at: none, or that of timestep 0. */
export const finalSigmasTypes = ['zero', 'sigma_min'] as const;
/** How sigma follows from the timestep between training timesteps: Euler's method only. */
export const interpolationTypes = ['linear', 'log_linear'] as const;
/** Whether a network is told training timesteps or log(sigma)/4: Euler's method only. */
export const timestepTypes = ['discrete', 'continuous'] as const;

export type AlgorithmType = (typeof algorithmTypes)[number];
export type SolverType = (typeof solverTypes)[number];
export type FinalSigmasType = (typeof finalSigmasTypes)[number];
export type InterpolationType = (typeof interpolationTypes)[number];
export type TimestepType = (typeof timestepTypes)[number];

const maxTrainTimesteps = 100_000;

const timestepCount = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxTrainTimesteps));
const betaBound = v.pipe(v.number(), v.gtValue(0), v.ltValue(1));

const flag = v.nullish(v.boolean());
const positive = v.pipe(v.number(), v.gtValue(0));

/** The options of diffusers' schedulers that shape a schedule or a plan; null counts as absent. */
export const schedulerSchema = v.object({
  num_train_timesteps: v.nullish(timestepCount),
  beta_start: v.nullish(v.number()),
  beta_end: v.nullish(v.number()),
  beta_schedule: v.nullish(v.picklist(betaSchedules)),
  trained_betas: v.nullish(v.pipe(v.array(betaBound), v.minLength(1), v.maxLength(maxTrainTimesteps))),
  rescale_betas_zero_snr: flag,
  prediction_type: v.nullish(v.picklist(predictionTypes)),
  variance_type: v.nullish(v.picklist(varianceTypes)),
  clip_sample: flag,
  clip_sample_range: v.nullish(positive),
  thresholding: flag,
  dynamic_thresholding_ratio: v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(1))),
  sample_max_value: v.nullish(v.pipe(v.number(), v.minValue(1))),
  timestep_spacing: v.nullish(v.picklist(timestepSpacings)),
  steps_offset: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maxTrainTimesteps))),
  set_alpha_to_one: flag,
  solver_order: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
  solver_type: v.nullish(v.picklist(solverTypes)),
  algorithm_type: v.nullish(v.picklist([...algorithmTypes, 'deis'])),
  lower_order_final: flag,
  euler_at_final: flag,
  final_sigmas_type: v.nullish(v.picklist(finalSigmasTypes)),
  lambda_min_clipped: v.nullish(v.number()),
  use_karras_sigmas: flag,
  use_exponential_sigmas: flag,
  use_beta_sigmas: flag,
  use_lu_lambdas: flag,
  use_flow_sigmas: v.nullish(v.literal(false)),
  sigma_min: v.nullish(positive),
  sigma_max: v.nullish(positive),
  interpolation_type: v.nullish(v.picklist(interpolationTypes)),
  timestep_type: v.nullish(v.picklist(timestepTypes)),
  predict_x0: flag,
  disable_corrector: v.nullish(v.pipe(v.array(v.pipe(v.number(), v.integer())), v.maxLength(maxTrainTimesteps))),
  skip_prk_steps: flag,
  original_inference_steps: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
  timestep_scaling: v.nullish(v.number()),
});

type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;
type Parsed = v.InferOutput<typeof schedulerSchema>;
type Options = { [K in keyof Parsed as Camel<K>]-?: Exclude<Parsed[K], null | undefined | 'deis'> };

/** A scheduler_config.json in this package's names (`clip_sample` is `clipSample`), every default filled in. */
export type SchedulerConfig = Omit<Options, 'trainedBetas' | 'sigmaMin' | 'sigmaMax'> & {
  trainedBetas: number[] | null;
  sigmaMin: number | null;
  sigmaMax: number | null;
  /** diffusers' class: names the sampler that the model comes with. */
  className: string;
  /** The sampler of the class; undefined where there is no plan for it here. */
  sampler: Sampler | undefined;
  /** What the file says, without defaults: what another sampler takes over, as from_config does. */
  given: Partial<Options>;
};

/**
 * Reads a diffusers scheduler_config.json object, `_class_name` included.
 *
 * Absent keys take the defaults of the class; keys that no schedule or plan here reads are named in `notes`.
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

  const sampler = schedulerClasses[className];
  const said = camelKeys(present(parsed.output)) as Partial<Options>;
  // DEIS counts as the solver that diffusers puts in its place
  if (parsed.output.algorithm_type === 'deis') said.algorithmType = 'dpmsolver++';
  const config = { ...classDefaults(sampler), ...said } as SchedulerConfig;
  const { trainedBetas: trained } = config;
  checkBetas(config, said, file);
  if (trained?.some((beta, i) => i > 0 && beta <= trained[i - 1]))
    notes.push(`${file}: "trained_betas" do not increase; taken as they are`);
  if (trained) config.numTrainTimesteps = trained.length;
  return { config: Object.assign(config, { className, sampler, given: withoutDefaults(said, raw) }), notes };
}

/** Without keys that are null. */
function present(parsed: Parsed): object {
  return Object.fromEntries(Object.entries(parsed).filter(([, value]) => value !== null && value !== undefined));
}

/** Without keys whose value was the class's own default when the file was written, as diffusers notes them. */
function withoutDefaults(said: Partial<Options>, raw: Record<string, unknown>): Partial<Options> {
  const defaults = Array.isArray(raw._use_default_values) ? raw._use_default_values : [];
  const names = Object.keys(camelKeys(Object.fromEntries(defaults.map((key) => [String(key), 0]))));
  return Object.fromEntries(Object.entries(said).filter(([key]) => !names.includes(key)));
}

/** Betas must lie in (0, 1) and grow (Ho et al. 2020, section 2), unless they were given one by one. */
function checkBetas(config: SchedulerConfig, said: Partial<Options>, file: string): void {
  const { betaStart: start, betaEnd: end, trainedBetas: trained } = config;
  if (trained) {
    if (said.numTrainTimesteps !== undefined && said.numTrainTimesteps !== trained.length)
      throw new DdpmError(
        'config-invalid',
        `${file}: "trained_betas" expected ${said.numTrainTimesteps} values, as "num_train_timesteps" says, got ${trained.length}`,
      );
  } else if (!['squaredcos_cap_v2', 'laplace', 'exp'].includes(config.betaSchedule)) {
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
