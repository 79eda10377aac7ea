import * as v from 'valibot';
import { schedulerClasses } from '../core/schedulerClasses.ts';
import { predictionTypes, schedulerSchema } from '../core/schedulerConfig.ts';
import { ACTIVATIONS, DOWN_BLOCKS, UP_BLOCKS, unetSchema } from '../core/unetConfig.ts';

/** How the squared errors of different timesteps count: see `loss.weighting`. */
export const weightings = ['none', 'min-snr', 'p2'] as const;

const steps = 2 ** 31 - 1;
const yesNo = v.boolean('true or false');

/** The keys of a UNet2DModel, none of which must be given, and shorter ways to say what most runs choose. */
const modelSchema = v.strictObject(
  {
    _class_name: v.optional(v.literal('UNet2DModel', '"UNet2DModel"')),
    _diffusers_version: v.optional(v.string('a string')),
    channels: optional(integer(1, 16384), 'Channels of the images; stands for in_channels and out_channels.'),
    classes: optional(integer(1, 2 ** 24), 'Classes of the images; stands for num_class_embeds.'),
    attention: optional(
      v.array(integer(0, 11), 'a list of levels'),
      'Levels with attention, 0 being the full size; stands for down_block_types and up_block_types.',
    ),
    ...bareKeys(),
    // without the transformations of old spellings, which a JSON schema cannot say
    down_block_types: v.optional(v.array(oneOf(DOWN_BLOCKS), 'a list')),
    up_block_types: v.optional(v.array(oneOf(UP_BLOCKS), 'a list')),
    act_fn: v.optional(oneOf(ACTIVATIONS)),
  },
  'an object',
);

const scheduleSchema = v.looseObject(
  { _class_name: v.optional(oneOf(Object.keys(schedulerClasses))), ...schedulerSchema.entries },
  'an object',
);

const lossSchema = v.strictObject(
  {
    prediction: optional(
      oneOf(predictionTypes),
      'What the network learns to predict. Default: as "schedule" says, else epsilon.',
    ),
    weighting: preset(
      oneOf(weightings),
      'none',
      'How timesteps count: all alike; by min(SNR, gamma) (Hang et al. 2023); by 1/(k + SNR)^gamma (Choi et al. 2022).',
    ),
    gamma: optional(number(0, 1000), 'The gamma of the weighting. Default: 5 for min-snr, 1 for p2.'),
    k: preset(number(0, 1000), 1, 'The k of p2.'),
    variance: optional(
      oneOf(['fixed', 'learned']),
      'Whether the network learns the variance too, by the hybrid loss of Nichol and Dhariwal 2021. Default: as "schedule" says.',
    ),
    varianceWeight: preset(number(0, 1000), 0.001, 'The weight of the bound in the hybrid loss.'),
  },
  'an object',
);

const optimizerSchema = v.strictObject(
  {
    learningRate: optional(number(0, 10), 'The highest learning rate. Default by the size of the network.'),
    warmupSteps: optional(integer(0, steps), 'Steps over which it rises from 0. Default 150, or a tenth of "steps".'),
    finalFraction: preset(number(0, 1), 0.02, 'What is left of it after the cosine that follows.'),
    betas: preset(
      v.strictTuple([number(0, 0.999999), number(0, 0.999999)], 'two numbers'),
      [0.9, 0.999],
      'How slowly the moments move.',
    ),
    epsilon: preset(number(0, 1), 1e-8, 'Added to the root of the second moment.'),
    weightDecay: preset(number(0, 10), 0, 'Decoupled weight decay (AdamW).'),
    clip: preset(v.nullable(number(0, 1e6)), 1, 'The largest norm of the gradient; null for any.'),
  },
  'an object',
);

const emaSchema = v.strictObject(
  {
    decay: preset(number(0, 1), 0.999, 'How slowly the average moves.'),
    ramp: preset(yesNo, true, 'Whether it moves faster at first: min(decay, (1 + n)/(10 + n)) in step n.'),
  },
  'an object or null',
);

const dataSchema = v.strictObject(
  {
    path: preset(v.nullable(v.string('a path')), null, 'Where the images are; the command line can say it instead.'),
    flip: preset(yesNo, false, 'Whether images are mirrored left to right by chance.'),
    crop: preset(oneOf(['center', 'random']), 'center', 'What is kept of an image with other proportions.'),
    background: preset(
      v.pipe(v.string("a colour '#rrggbb'"), v.regex(/^#[0-9a-fA-F]{6}$/, "a colour '#rrggbb'")),
      '#ffffff',
      'The colour that is seen where images are transparent.',
    ),
    holdOut: preset(number(0, 0.9), 0.05, 'The fraction of the images that is kept for evaluation.'),
  },
  'an object',
);

const loraSchema = v.strictObject(
  {
    rank: preset(integer(1, 4096), 4, 'The rank of the change to a weight.'),
    alpha: optional(number(0, 1e6), 'The change is scaled by alpha/rank. Default: the rank.'),
    targets: preset(
      patterns(),
      ['*.to_q', '*.to_k', '*.to_v', '*.to_out.0'],
      "The layers that are changed, by diffusers' names; * stands for anything.",
    ),
  },
  'an object or null',
);

/** How a training run is described in a file. What has no default here has one that depends on the data. */
export const trainingSchema = v.strictObject(
  {
    $schema: v.optional(v.string('a URL')),
    from: preset(v.nullable(v.string('a model')), null, 'A model to start from; its config.json is "model" then.'),
    model: section(modelSchema, "The network: diffusers' config.json of a UNet2DModel. Defaults by the data."),
    schedule: section(scheduleSchema, "The noise: diffusers' scheduler_config.json. Default: linear, 1000 steps."),
    loss: section(lossSchema, 'What is learnt.'),
    optimizer: section(optimizerSchema, 'AdamW.'),
    ema: v.optional(v.nullable(described(emaSchema, 'The moving average of the parameters; null for none.')), {}),
    data: section(dataSchema, 'The images.'),
    batch: optional(integer(1, 65536), 'Images in a step of one accumulation. Default 64, or as many as there are.'),
    accumulation: preset(integer(1, 65536), 1, 'Batches whose gradients are summed for a step.'),
    workers: preset(
      v.union([v.literal('auto'), integer(1, 1024, ' or "auto"')], 'an integer in 1..1024 or "auto"'),
      'auto',
      'Threads that share a batch; auto is one a core.',
    ),
    steps: optional(v.nullable(integer(1, steps)), 'Optimizer steps. Default: by the data, unless "minutes" is given.'),
    minutes: optional(v.nullable(number(0.01, 1e6)), 'How long to train, in place of "steps".'),
    seed: preset(integer(0, Number.MAX_SAFE_INTEGER), 0, 'Decides all random numbers.'),
    classDropout: optional(
      number(0, 0.99),
      'How often an image is shown without its class, for guidance. Default 0.1 where there are classes.',
    ),
    evaluation: schedulable({ images: preset(integer(1, steps), 512, 'How many of the images held out.') }, 1000),
    samples: schedulable({ count: preset(integer(1, 1024), 16, 'How many images on a sheet.') }, 1000),
    checkpoints: section(
      v.strictObject(
        {
          every: preset(integer(1, steps), 500, 'Steps between checkpoints.'),
          keep: preset(integer(1, 1e6), 3, 'How many are kept.'),
        },
        'an object',
      ),
      'What a run that stopped goes on from.',
    ),
    freeze: preset(patterns(), [], "Parameters that stay as they are, by diffusers' names; * stands for anything."),
    lora: v.optional(
      v.nullable(described(loraSchema, 'Low-rank changes to a model (Hu et al. 2022), in place of its weights.')),
      null,
    ),
  },
  'a JSON object',
);

/** A training config as a user writes it: any key may be left out. */
export type TrainingInput = v.InferInput<typeof trainingSchema>;
/** A training config, checked, with the defaults that do not depend on the data. */
export type CheckedInput = v.InferOutput<typeof trainingSchema>;
/** The part of it that describes the network. */
export type ModelInput = v.InferOutput<typeof modelSchema>;

/**
 * A training config in which nothing is left open. It is plain JSON, and reads as itself again: a checkpoint keeps it.
 */
export interface TrainingConfig
  extends Omit<CheckedInput, 'model' | 'schedule' | 'loss' | 'optimizer' | 'lora' | '$schema'> {
  /** diffusers' config.json, every key. */
  readonly model: Readonly<Record<string, unknown>>;
  /** diffusers' scheduler_config.json. */
  readonly schedule: Readonly<Record<string, unknown>>;
  readonly loss: Required<CheckedInput['loss']>;
  readonly optimizer: Required<CheckedInput['optimizer']>;
  readonly batch: number;
  /** Optimizer steps, or null where `minutes` end the run. */
  readonly steps: number | null;
  readonly minutes: number | null;
  readonly classDropout: number;
  readonly lora: Required<NonNullable<CheckedInput['lora']>> | null;
}

function bareKeys() {
  const { _class_name, ...entries } = unetSchema.entries;
  type Bare = { [K in keyof typeof entries]: v.OptionalSchema<(typeof entries)[K]['wrapped'], undefined> };
  const bare = Object.entries(entries).map(([key, { type, wrapped }]) => {
    const value = type === 'nullish' ? v.nullable(wrapped as v.GenericSchema) : wrapped;
    return [key, v.optional(value as v.GenericSchema)];
  });
  return Object.fromEntries(bare) as Bare;
}

function described<T extends v.GenericSchema>(schema: T, description: string) {
  return v.pipe(schema, v.description(description));
}

function optional<T extends v.GenericSchema>(schema: T, description: string) {
  return v.optional(described(schema, description));
}

function preset<T extends v.GenericSchema, const D extends v.InferInput<T>>(schema: T, value: D, description: string) {
  return v.optional(described(schema, description), value as v.InferInput<T>);
}

// absent, it is checked as an empty object, which fills in what is inside
function section<T extends v.GenericSchema<object>>(schema: T, description: string) {
  return v.optional(described(schema, description), {} as v.InferInput<T>);
}

// what is done now and then, or never
function schedulable<T extends v.ObjectEntries>(entries: T, every: number) {
  const schema = v.strictObject(
    { every: preset(integer(1, steps), every, 'Steps between two.'), ...entries },
    'an object or null',
  );
  return v.optional(v.nullable(schema), {} as v.InferInput<typeof schema>);
}

function integer(min: number, max: number, or = '') {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `in ${min}..${max}`;
  const message = `an integer ${range}${or}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(min, message), v.maxValue(max, message));
}

function number(min: number, max: number) {
  const message = `a number in ${min}..${max}`;
  return v.pipe(v.number(message), v.minValue(min, message), v.maxValue(max, message));
}

function oneOf<const T extends readonly string[]>(choices: T) {
  return v.picklist(choices, `one of ${choices.join(', ')}`);
}

function patterns() {
  const message = 'a list of names, in which * stands for anything';
  return v.pipe(
    v.array(v.pipe(v.string(message), v.minLength(1, message), v.maxLength(200, message)), message),
    v.maxLength(1000, message),
  );
}
