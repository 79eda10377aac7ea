import * as v from 'valibot';
import { DdpmError, show } from '../core/errors.ts';
import { firstIssue, parseSchedulerConfig, type SchedulerConfig } from '../core/schedulerConfig.ts';
import { parseUNetConfig, type UNetConfig } from '../core/unetConfig.ts';
import { type Base, withBase } from './configBase.ts';
import { assertPatterns, assertSizes, type Refuse } from './configChecks.ts';
import { completeModel, type DataSummary, defaultLearningRate, defaultSteps } from './configDefaults.ts';
import { type CheckedInput, type TrainingConfig, trainingSchema } from './configSchema.ts';
import { schedulerJson, unetJson } from './diffusers.ts';

/** A training config, and what its parts mean. */
export interface ParsedTraining {
  readonly config: TrainingConfig;
  readonly network: UNetConfig;
  readonly scheduler: SchedulerConfig;
  /** What was assumed or ignored; each one line. */
  readonly notes: readonly string[];
}

/**
 * Reads a training config: any key may be left out, and takes a default, of which some are chosen from the data.
 *
 * @param json the parsed file
 * @param options.data what the images are like; without it `model` must say their size and channels
 * @param options.base the model of `from`, as `loadBase` reads it: its network and schedule are those of the config
 * @throws DdpmError `config-invalid` for an unknown key, a wrong value, or parts that cannot work together, naming the
 * key, what would work, and what came
 */
export function parseTrainingConfig(
  json: unknown,
  options: { readonly data?: DataSummary; readonly base?: Base; readonly file?: string } = {},
): ParsedTraining {
  const { data, base, file = 'training config' } = options;
  const refuse: Refuse = (key, expected, got) =>
    new DdpmError('config-invalid', `${file}: "${key}" expected ${expected}, got ${show(got)}`);
  const checked = check(json, file);
  const given = base ? withBase(checked, base, { data, refuse }) : checked;
  const loss = completeLoss(given, refuse);
  const classDropout = given.classDropout ?? (classesOf(given, data) > 0 ? 0.1 : 0);

  const model = completeNetwork(given, { data, classDropout, learned: loss.variance === 'learned', refuse });
  const { config: network, notes } = parseUNetConfig({ _class_name: 'UNet2DModel', ...model }, `${file}: model`);
  const schedule = completeSchedule(given, loss, `${file}: schedule`);
  const parsed = parseSchedulerConfig(schedule, `${file}: schedule`);
  const rest = completeRun(given, { data, network, classDropout, refuse });
  const config = { ...given, ...rest, model: unetJson(network), schedule, loss, classDropout };
  delete config.$schema;
  checkTogether(config, { network, scheduler: parsed.config, data, refuse });
  return { config, network, scheduler: parsed.config, notes: [...notes, ...parsed.notes, ...dataNotes(network, data)] };
}

/** A training config with all defaults, for a dataset. */
export function defaultsFor(data: DataSummary): TrainingConfig {
  return parseTrainingConfig({}, { data }).config;
}

interface Context {
  readonly data: DataSummary | undefined;
  readonly refuse: Refuse;
}

function check(json: unknown, file: string): CheckedInput {
  // valibot takes lists for objects
  const object = Array.isArray(json) ? undefined : json;
  const result = v.safeParse(trainingSchema, object);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const key = v.getDotPath(issue);
  let clause = `${key === null ? 'the config' : `"${key}"`} expected ${issue.message}, got ${show(key === null ? json : issue.input)}`;
  // the schedule's messages are valibot's own
  if (issue.message.startsWith('Invalid ')) clause = firstIssue(result.issues);
  if (issue.expected === 'never') clause = `"${key}" expected no such key: ${knownKeys(issue)}`;
  throw new DdpmError('config-invalid', `${file}: ${clause}`);
}

/** The keys of the section in which there was an unknown one. */
function knownKeys(issue: v.BaseIssue<unknown>): string {
  let schema: unknown = trainingSchema;
  for (const { key } of issue.path?.slice(0, -1) ?? []) {
    schema = (schema as typeof trainingSchema).entries[key as 'model'];
    while (schema && !('entries' in (schema as object))) schema = (schema as { wrapped?: unknown }).wrapped;
  }
  const { entries } = schema as { entries: object };
  const names = Object.keys(entries).filter((name) => !/^[$_]/.test(name));
  const section = issue.path!.slice(0, -1).map(({ key }) => key);
  return `${section.length > 0 ? `"${section.join('.')}"` : 'the config'} takes ${names.join(', ')}`;
}

function completeLoss(given: CheckedInput, refuse: Refuse): TrainingConfig['loss'] {
  const { loss, schedule } = given;
  const prediction = loss.prediction ?? schedule.prediction_type ?? 'epsilon';
  if ((schedule.prediction_type ?? prediction) !== prediction)
    throw refuse('loss.prediction', `${schedule.prediction_type}, as "schedule.prediction_type" says`, prediction);
  if (schedule.variance_type === 'learned')
    throw refuse('schedule.variance_type', 'learned_range, the learned variance that can be trained', 'learned');
  const scheduled = schedule.variance_type === 'learned_range' ? 'learned' : 'fixed';
  const variance = loss.variance ?? scheduled;
  if (variance === 'fixed' && scheduled === 'learned')
    throw refuse('loss.variance', `learned, for "schedule.variance_type" ${schedule.variance_type}`, variance);
  return { ...loss, prediction, variance, gamma: loss.gamma ?? (loss.weighting === 'p2' ? 1 : 5) };
}

function completeSchedule(
  { schedule }: CheckedInput,
  loss: TrainingConfig['loss'],
  file: string,
): Record<string, unknown> {
  const asked = {
    ...schedule,
    prediction_type: loss.prediction,
    ...(loss.variance === 'learned' && { variance_type: 'learned_range' }),
  };
  const { _diffusers_version, ...json } = schedulerJson(asked, file);
  return json;
}

/** diffusers' keys of the network, checked as far as the network's own parser would say less. */
function completeNetwork(
  { model }: CheckedInput,
  { data, classDropout, learned, refuse }: Context & { classDropout: number; learned: boolean },
): Record<string, unknown> {
  for (const [short, long] of Object.entries(shortForms)) {
    const both = long.find((key) => model[short as 'channels'] !== undefined && model[key] !== undefined);
    if (both) throw refuse(`model.${short}`, `nothing, for "model.${both}" is given`, model[short as 'channels']);
  }
  const keys = completeModel(model, data);
  if (keys.sample_size === undefined) throw refuse('model.sample_size', 'the size of the images', undefined);
  if (keys.in_channels === undefined) throw refuse('model.channels', 'the channels of the images', undefined);
  const levels = keys.block_out_channels?.length ?? 0;
  const beyond = model.attention?.find((level) => level >= levels);
  if (beyond !== undefined)
    throw refuse('model.attention', `levels in 0..${levels - 1}, as "model.block_out_channels" has`, beyond);
  assertSizes(keys, refuse);

  // with twice the channels a network predicts variances too
  const outChannels = keys.in_channels * (learned ? 2 : 1);
  if (model.out_channels !== undefined && model.out_channels !== outChannels)
    throw refuse(
      'model.out_channels',
      `${outChannels}, for a ${learned ? 'learned' : 'fixed'} variance`,
      model.out_channels,
    );
  const classes = model.classes ?? data?.classes;
  const embedded = classes && classes + (classDropout > 0 ? 1 : 0);
  return { num_class_embeds: embedded ?? null, ...keys, out_channels: outChannels };
}

const shortForms = {
  channels: ['in_channels', 'out_channels'],
  classes: ['num_class_embeds'],
  attention: ['down_block_types', 'up_block_types'],
} as const;

function completeRun(
  given: CheckedInput,
  { data, network, classDropout, refuse }: Context & { network: UNetConfig; classDropout: number },
) {
  const { steps: asked = null, minutes = null, lora, optimizer } = given;
  if (asked !== null && minutes !== null) throw refuse('minutes', 'nothing, for "steps" is given', minutes);
  if (lora && given.from === null) throw refuse('from', 'a model for "lora" to change', null);
  if (lora && given.freeze.length > 0)
    throw refuse('freeze', 'nothing, for "lora" leaves all parameters as they are', given.freeze);
  if (classDropout > 0 && network.numClassEmbeds === null)
    throw refuse('classDropout', '0 for a network without classes', classDropout);

  const training = data?.count === undefined ? undefined : data.count - Math.round(data.count * given.data.holdOut);
  const batch = given.batch ?? Math.max(Math.min(64, training ?? 64), 1);
  const steps = asked ?? (minutes === null ? defaultSteps(training, batch * given.accumulation) : null);
  const tuning = given.from === null ? undefined : lora ? ('lora' as const) : ('all' as const);
  const learningRate = optimizer.learningRate ?? defaultLearningRate(Math.max(...network.blockOutChannels), tuning);
  const warmupSteps = optimizer.warmupSteps ?? Math.min(150, Math.floor((steps ?? 1500) / 10));
  return {
    ...{ batch, steps, minutes },
    optimizer: { ...optimizer, learningRate, warmupSteps },
    lora: lora && { ...lora, alpha: lora.alpha ?? lora.rank },
  };
}

/** What each part alone cannot show. */
function checkTogether(
  config: TrainingConfig,
  { network, scheduler, data, refuse }: Context & { network: UNetConfig; scheduler: SchedulerConfig },
): void {
  const { steps, batch, optimizer, loss, data: images } = config;
  if (steps !== null && optimizer.warmupSteps >= steps)
    throw refuse('optimizer.warmupSteps', `fewer than the ${steps} of "steps"`, optimizer.warmupSteps);
  if (scheduler.rescaleBetasZeroSnr && loss.prediction === 'epsilon')
    throw refuse(
      'loss.prediction',
      'sample or v_prediction: the last step of a zero-SNR schedule has no image',
      'epsilon',
    );

  const known = network.numClassEmbeds;
  const needed = data?.classes && data.classes + (config.classDropout > 0 ? 1 : 0);
  if (known !== null && needed && known < needed) {
    const unconditional = config.classDropout > 0 ? ' and the label that means none' : '';
    throw refuse('model.num_class_embeds', `${needed}, for ${data.classes} classes${unconditional}`, known);
  }
  const held = Math.round((data?.count ?? 0) * images.holdOut);
  if (data?.count !== undefined && batch > data.count - held)
    throw refuse('batch', `at most the ${data.count - held} images that are not held out`, batch);
  assertPatterns(config, network, refuse);
}

function classesOf({ model }: CheckedInput, data: DataSummary | undefined): number {
  // null says that labels are not to be used
  const embedded = model.num_class_embeds === undefined ? data?.classes : model.num_class_embeds;
  return model.classes ?? embedded ?? 0;
}

function dataNotes(
  { sampleSize, numClassEmbeds, classEmbedType }: UNetConfig,
  data: DataSummary | undefined,
): string[] {
  if (!data) return [];
  const { height, width, classes } = data;
  const scaled = sampleSize && (sampleSize[0] !== height || sampleSize[1] !== width);
  const ignored = classes && numClassEmbeds === null && classEmbedType === null;
  return [
    ...(scaled ? [`images of ${width}x${height} are scaled to ${sampleSize[1]}x${sampleSize[0]}`] : []),
    ...(ignored ? [`the network has no classes: the ${classes} of the data are ignored`] : []),
  ];
}
