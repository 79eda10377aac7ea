import * as v from 'valibot';
import { DdpmError, show } from './errors.ts';

/** The down blocks of a UNet2DModel that have a graph here. */
export const DOWN_BLOCKS = ['DownBlock2D', 'AttnDownBlock2D', 'ResnetDownsampleBlock2D'] as const;
/** The up blocks of a UNet2DModel that have a graph here. */
export const UP_BLOCKS = ['UpBlock2D', 'AttnUpBlock2D', 'ResnetUpsampleBlock2D'] as const;
/** The activation functions of a residual block; swish is another name of silu, gelu the exact one. */
export const ACTIVATIONS = ['silu', 'swish', 'mish', 'gelu', 'relu'] as const;

/** A diffusers UNet2DModel config.json, complete: every key that was absent has the class's default. */
export interface UNetConfig {
  /** Height and width, or null where the config leaves them open. */
  readonly sampleSize: readonly [number, number] | null;
  readonly inChannels: number;
  readonly outChannels: number;
  /** Whether the network sees 2x - 1 instead of x. */
  readonly centerInputSample: boolean;
  readonly timeEmbeddingType: 'positional' | 'fourier' | 'learned';
  /** Width of the time embedding; 4 times the first block's channels by default. */
  readonly timeEmbeddingDim: number;
  readonly freqShift: number;
  /** Whether cosines come before sines. */
  readonly flipSinToCos: boolean;
  readonly downBlockTypes: readonly (typeof DOWN_BLOCKS)[number][];
  readonly midBlockType: 'UNetMidBlock2D' | null;
  readonly upBlockTypes: readonly (typeof UP_BLOCKS)[number][];
  readonly blockOutChannels: readonly number[];
  readonly layersPerBlock: number;
  readonly midBlockScaleFactor: number;
  readonly downsamplePadding: 0 | 1;
  /** How AttnDownBlock2D shrinks; the other blocks' names say it. */
  readonly downsampleType: 'conv' | 'resnet';
  /** How AttnUpBlock2D grows; the other blocks' names say it. */
  readonly upsampleType: 'conv' | 'resnet';
  readonly actFn: (typeof ACTIVATIONS)[number];
  /** Channels of an attention head; null is one head of all channels. */
  readonly attentionHeadDim: number | null;
  readonly normNumGroups: number;
  /** Groups of the middle attention's norm; null follows `normNumGroups`, or leaves the norm out for scale_shift. */
  readonly attnNormNumGroups: number | null;
  readonly normEps: number;
  readonly resnetTimeScaleShift: 'default' | 'scale_shift';
  /** Whether the middle block attends. */
  readonly addAttention: boolean;
  readonly classEmbedType: 'timestep' | null;
  readonly numClassEmbeds: number | null;
  readonly numTrainTimesteps: number | null;
}

/**
 * Reads a diffusers UNet2DModel config.json. Absent keys take the defaults of today's diffusers; unknown keys are
 * ignored with a note, except those that start with an underscore.
 *
 * @param json the parsed file
 * @param file what messages call it
 * @throws DdpmError `config-invalid` for an unknown value, or numbers that make no network
 */
export function parseUNetConfig(json: unknown, file = 'config.json'): { config: UNetConfig; notes: string[] } {
  if (Array.isArray(json)) throw invalid(`${file}: the config`, 'a JSON object', json); // valibot takes lists for objects
  const result = v.safeParse(unetSchema, json);
  if (!result.success) {
    const [issue] = result.issues;
    const path = v.getDotPath(issue);
    throw invalid(`${file}: ${path === null ? 'the config' : `"${path}"`}`, issue.message, issue.input);
  }
  const { _class_name: className, ...keys } = result.output;
  const config = camelCase(keys);
  assertConsistent(config, file);
  const notes = Object.keys(json as object)
    .filter((key) => !(key in unetSchema.entries) && !key.startsWith('_'))
    .map((key) => `${file}: unknown key ${show(key)} ignored`);
  if (className === undefined) notes.push(`${file}: no "_class_name", taken for a UNet2DModel`);
  return { config, notes };
}

// beyond these a config is damage or malice: the largest published UNet2DModel has 6 levels of at most 512 channels
const MAX = { channels: 16384, levels: 12, layers: 64, size: 16384, embeddings: 2 ** 24 };

const yesNo = v.boolean('true or false');
const channels = integer(1, MAX.channels);
const size = integer(1, MAX.size);

/** The keys of a config.json. Every message says what was expected. */
export const unetSchema = v.object(
  {
    _class_name: v.optional(v.literal('UNet2DModel', '"UNet2DModel"')),
    sample_size: v.nullish(
      v.union([size, v.strictTuple([size, size])], `an integer in 1..${MAX.size} or two, height and width`),
      null,
    ),
    in_channels: v.optional(channels, 3),
    out_channels: v.optional(channels, 3),
    center_input_sample: v.optional(yesNo, false),
    time_embedding_type: oneOf(['positional', 'fourier', 'learned'], 'positional'),
    time_embedding_dim: v.nullish(integer(0, MAX.channels), null),
    freq_shift: v.optional(finite(), 0),
    flip_sin_to_cos: v.optional(yesNo, true),
    down_block_types: blocks(DOWN_BLOCKS, ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D']),
    mid_block_type: v.optional(v.nullable(v.literal('UNetMidBlock2D', '"UNetMidBlock2D" or null')), 'UNetMidBlock2D'),
    up_block_types: blocks(UP_BLOCKS, ['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D']),
    block_out_channels: v.optional(list(channels), [224, 448, 672, 896]),
    layers_per_block: v.optional(integer(1, MAX.layers), 2),
    mid_block_scale_factor: v.optional(v.pipe(finite(), v.notValue(0, 'a number other than 0')), 1),
    downsample_padding: v.optional(v.picklist([0, 1], '0 or 1'), 1),
    downsample_type: oneOf(['conv', 'resnet'], 'conv'),
    upsample_type: oneOf(['conv', 'resnet'], 'conv'),
    dropout: v.optional(finite(), 0),
    act_fn: v.optional(
      v.pipe(v.string('a string'), v.toLowerCase(), v.picklist(ACTIVATIONS, among(ACTIVATIONS))),
      'silu',
    ),
    attention_head_dim: v.optional(v.nullable(channels), 8),
    norm_num_groups: v.optional(channels, 32),
    attn_norm_num_groups: v.nullish(channels, null),
    norm_eps: v.optional(v.pipe(finite(), v.minValue(0, 'a number in 0..1'), v.maxValue(1, 'a number in 0..1')), 1e-5),
    resnet_time_scale_shift: oneOf(['default', 'scale_shift'], 'default'),
    add_attention: v.optional(yesNo, true),
    // diffusers knows "identity" too: labels that are embeddings already, for which a list of classes has no room
    class_embed_type: v.nullish(v.literal('timestep', '"timestep" or null'), null),
    num_class_embeds: v.nullish(integer(1, MAX.embeddings), null),
    num_train_timesteps: v.nullish(integer(1, MAX.embeddings), null),
  },
  'a JSON object',
);

function integer(min: number, max: number) {
  const message = `an integer in ${min}..${max}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(min, message), v.maxValue(max, message));
}

function finite() {
  return v.pipe(v.number('a number'), v.finite('a finite number'));
}

function oneOf<const T extends readonly string[]>(choices: T, fallback: T[number]) {
  return v.optional(v.picklist(choices, among(choices)), fallback);
}

function list<T extends v.GenericSchema>(item: T) {
  const message = `a list of 1 to ${MAX.levels}`;
  return v.pipe(v.array(item, message), v.minLength(1, message), v.maxLength(MAX.levels, message));
}

// the prefix UNetRes is how early versions wrote the same types
function blocks<const T extends readonly string[]>(types: T, fallback: T[number][]) {
  const bare = v.transform((type: string) => (type.startsWith('UNetRes') ? type.slice(7) : type));
  return v.optional(list(v.pipe(v.string('a string'), bare, v.picklist(types, among(types)))), fallback);
}

function among(choices: readonly string[]): string {
  return `one of ${choices.join(', ')}`;
}

function camelCase(keys: Omit<v.InferOutput<typeof unetSchema>, '_class_name'>): UNetConfig {
  return {
    sampleSize: typeof keys.sample_size === 'number' ? [keys.sample_size, keys.sample_size] : keys.sample_size,
    inChannels: keys.in_channels,
    outChannels: keys.out_channels,
    centerInputSample: keys.center_input_sample,
    timeEmbeddingType: keys.time_embedding_type,
    timeEmbeddingDim: keys.time_embedding_dim || 4 * keys.block_out_channels[0],
    freqShift: keys.freq_shift,
    flipSinToCos: keys.flip_sin_to_cos,
    downBlockTypes: keys.down_block_types,
    midBlockType: keys.mid_block_type,
    upBlockTypes: keys.up_block_types,
    blockOutChannels: keys.block_out_channels,
    layersPerBlock: keys.layers_per_block,
    midBlockScaleFactor: keys.mid_block_scale_factor,
    downsamplePadding: keys.downsample_padding,
    downsampleType: keys.downsample_type,
    upsampleType: keys.upsample_type,
    actFn: keys.act_fn,
    attentionHeadDim: keys.attention_head_dim,
    normNumGroups: keys.norm_num_groups,
    attnNormNumGroups: keys.attn_norm_num_groups,
    normEps: keys.norm_eps,
    resnetTimeScaleShift: keys.resnet_time_scale_shift,
    addAttention: keys.add_attention,
    classEmbedType: keys.class_embed_type,
    numClassEmbeds: keys.num_class_embeds,
    numTrainTimesteps: keys.num_train_timesteps,
  };
}

// what one key alone cannot show
function assertConsistent(config: UNetConfig, file: string): void {
  const { blockOutChannels, downBlockTypes, upBlockTypes, normNumGroups, attnNormNumGroups, sampleSize } = config;
  const levels = blockOutChannels.length;
  const check = (good: boolean, key: string, expected: string, got: unknown) => {
    if (!good) throw invalid(`${file}: "${key}"`, expected, got);
  };

  const perLevel = `${levels} ${levels === 1 ? 'entry' : 'entries'}, as "block_out_channels" has`;
  check(downBlockTypes.length === levels, 'down_block_types', perLevel, downBlockTypes.length);
  check(upBlockTypes.length === levels, 'up_block_types', perLevel, upBlockTypes.length);
  for (const [i, count] of blockOutChannels.entries()) {
    check(
      count % normNumGroups === 0,
      `block_out_channels.${i}`,
      `a multiple of "norm_num_groups" ${normNumGroups}`,
      count,
    );
  }
  const last = blockOutChannels[levels - 1];
  const divisor = `a divisor of the last block's ${last} channels`;
  check(last % (attnNormNumGroups ?? 1) === 0, 'attn_norm_num_groups', divisor, attnNormNumGroups);
  assertHeads(config, check);

  // each level halves the image; an upsampled odd size would not meet its skip connection
  const multiple = 2 ** (levels - 1);
  const divides = sampleSize === null || sampleSize.every((n) => n % multiple === 0);
  check(divides, 'sample_size', `multiples of ${multiple}, for ${levels} levels`, sampleSize);

  if (config.timeEmbeddingType === 'learned') {
    check(config.numTrainTimesteps !== null, 'num_train_timesteps', 'a number, for learned time embeddings', null);
  }
  if (config.timeEmbeddingType === 'positional') {
    const half = Math.floor(blockOutChannels[0] / 2);
    check(
      half > 0 && config.freqShift < half,
      'freq_shift',
      `a number under ${half}, half the first block's channels`,
      config.freqShift,
    );
  }
}

function assertHeads(
  config: UNetConfig,
  check: (good: boolean, key: string, expected: string, got: unknown) => void,
): void {
  const {
    blockOutChannels: channels,
    attentionHeadDim,
    downBlockTypes,
    upBlockTypes,
    midBlockType,
    addAttention,
  } = config;
  const attending = [
    ...downBlockTypes.map((type, i) => (type === 'AttnDownBlock2D' ? channels[i] : Infinity)),
    ...upBlockTypes.map((type, i) => (type === 'AttnUpBlock2D' ? channels[channels.length - 1 - i] : Infinity)),
    midBlockType && addAttention ? channels[channels.length - 1] : Infinity,
  ];
  const least = Math.min(...attending);
  check(
    (attentionHeadDim ?? 0) <= least,
    'attention_head_dim',
    `at most ${least}, the channels of an attending block`,
    attentionHeadDim,
  );
}

function invalid(what: string, expected: string, got: unknown): DdpmError {
  return new DdpmError('config-invalid', `${what} expected ${expected}, got ${show(got)}`);
}
