import { parseSchedulerConfig } from '../core/schedulerConfig.ts';
import { parseUNetConfig, type UNetConfig } from '../core/unetConfig.ts';
import type { BaseModel } from './base.ts';
import type { Refuse } from './configChecks.ts';
import type { DataSummary } from './configDefaults.ts';
import type { CheckedInput } from './configSchema.ts';
import { snakeCase, unetJson } from './diffusers.ts';

/** What a training config takes from the model that it starts from. */
export type Base = Pick<BaseModel, 'from' | 'config' | 'scheduler' | 'labels'>;

interface Context {
  readonly data: DataSummary | undefined;
  readonly refuse: Refuse;
}

/** A config with the network, the schedule and the classes of the model of `from`, which it must not contradict. */
export function withBase(given: CheckedInput, base: Base, { data, refuse }: Context): CheckedInput {
  const { from, config } = base;
  if (given.from !== null && given.from !== from) throw refuse('from', `${from}, the model that is given`, given.from);
  assertModel(given.model, config, refuse);
  const schedule = joinSchedule(given, base, refuse);
  const classDropout = completeDropout(given, base, { data, refuse });
  const learned = config.outChannels === 2 * config.inChannels;
  const loss = { ...given.loss, variance: given.loss.variance ?? (learned ? ('learned' as const) : undefined) };
  const size = config.sampleSize === null ? { sample_size: given.model.sample_size } : {};
  const model = { ...unetJson(config), ...size } as CheckedInput['model'];
  return { ...given, from, model, schedule, loss, classDropout };
}

/** Refuses keys that would make another network; spellings of the same value are none. */
function assertModel(
  { channels, classes, attention, ...keys }: CheckedInput['model'],
  base: UNetConfig,
  refuse: Refuse,
) {
  const json = unetJson(base);
  const fail = (key: string, has: unknown, got: unknown) =>
    refuse(`model.${key}`, `${JSON.stringify(has)}, as the model of "from" has`, got);
  for (const [key, value] of Object.entries(keys)) {
    const open = key === 'sample_size' && base.sampleSize === null;
    if (!open && !isSame({ ...json, [key]: value }, base)) throw fail(key, json[key], value);
  }
  if ((channels ?? base.inChannels) !== base.inChannels) throw fail('channels', base.inChannels, channels);
  if (classes !== undefined && classes > (base.numClassEmbeds ?? 0))
    throw fail('classes', base.numClassEmbeds, classes);

  const attending = base.downBlockTypes.flatMap((type, level) => (type === 'AttnDownBlock2D' ? [level] : []));
  if (attention && JSON.stringify([...new Set(attention)].sort((a, b) => a - b)) !== JSON.stringify(attending))
    throw fail('attention', attending, attention);
}

function isSame(json: object, base: UNetConfig): boolean {
  try {
    return JSON.stringify(parseUNetConfig(json).config) === JSON.stringify(base);
  } catch {
    return false;
  }
}

// what a network has learnt to see and to say; all else is up to who samples
const learntKeys = [
  'numTrainTimesteps',
  'betaStart',
  'betaEnd',
  'betaSchedule',
  'trainedBetas',
  'rescaleBetasZeroSnr',
  'predictionType',
] as const;

function joinSchedule(given: CheckedInput, { scheduler }: Base, refuse: Refuse): CheckedInput['schedule'] {
  if (!scheduler) return given.schedule;
  const joined = { ...scheduler, ...given.schedule } as CheckedInput['schedule'];
  const { config: own } = parseSchedulerConfig(scheduler);
  const { config } = parseSchedulerConfig(joined, 'schedule');
  for (const key of learntKeys) {
    if (JSON.stringify(config[key]) === JSON.stringify(own[key])) continue;
    const what = `${JSON.stringify(own[key])}, as the model of "from" was trained with`;
    throw refuse(`schedule.${snakeCase(key)}`, what, config[key]);
  }
  // said outright, so that a loss that predicts something else is refused
  return { ...joined, prediction_type: own.predictionType };
}

/** The rate of images without a class: none where the model has no label for that. Refuses classes that do not fit. */
function completeDropout({ model, classDropout }: CheckedInput, base: Base, { data, refuse }: Context): number {
  const known = base.config.numClassEmbeds;
  const classes = data ? (data.classes ?? 0) : (model.classes ?? base.labels?.labels.length ?? known ?? 0);
  const unconditional = known !== null && (base.labels?.unconditional !== undefined || classes < known);
  const rate = classDropout ?? (unconditional && classes > 0 ? 0.1 : 0);
  if (known === null) return rate;

  const needed = classes + (rate > 0 ? 1 : 0);
  const also = rate > 0 ? ' and the label that means none' : '';
  if (needed > known)
    throw refuse('from', `a model of ${needed} labels, for ${classes} classes${also}`, `${base.from} of ${known}`);
  if (classes === 0 && base.labels?.unconditional === undefined)
    throw refuse('from', 'a model without classes, for images without', `${base.from} of ${known}`);
  return rate;
}
