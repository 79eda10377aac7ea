import { DOWN_BLOCKS, UP_BLOCKS } from '../core/unetConfig.ts';
import type { ModelInput } from './configSchema.ts';

/** What is known of a dataset before training. */
export interface DataSummary {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Classes that its labels name; none where it has no labels. */
  readonly classes?: number;
  /** Images. */
  readonly count?: number;
}

/** A network as diffusers' config.json describes it, with the keys that shape it. */
export type ModelKeys = Omit<ModelInput, 'channels' | 'classes' | 'attention'>;

/**
 * The model section with its short forms spelled out and the rest chosen: widths 32, 64, 96, ... down to images of about
 * 8 pixels, one layer a level, attention at the smallest. For 28x28 grey images that is 1.8 million parameters, which two
 * cores train in a quarter of an hour to recognisable clothes.
 */
export function completeModel(given: ModelInput, data: DataSummary | undefined): ModelKeys {
  const { channels, classes: _, attention, ...keys } = given;
  const chosen = chooseLevels(keys, data);
  const widths = keys.block_out_channels ?? Array.from({ length: chosen.levels }, (_, i) => 32 * Math.min(i + 1, 4));
  const common = widths.reduce(gcd, 0);
  const inChannels = channels ?? keys.in_channels ?? data?.channels;
  return {
    layers_per_block: 1,
    norm_num_groups: largestDivisor(common, 8),
    attention_head_dim: common % 32 === 0 ? 32 : null,
    ...blockTypes(attention ?? chosen.attention, widths.length),
    ...mirrored(keys),
    ...keys,
    block_out_channels: widths,
    sample_size: keys.sample_size ?? chosen.size,
    in_channels: inChannels,
    out_channels: channels ?? keys.out_channels ?? inChannels,
  } as ModelKeys;
}

/** Block types with attention at the given levels, level 0 being the full size. */
export function blockTypes(attention: readonly number[], levels: number) {
  const attends = Array.from({ length: levels }, (_, level) => attention.includes(level));
  return {
    down_block_types: attends.map((yes) => (yes ? ('AttnDownBlock2D' as const) : ('DownBlock2D' as const))),
    up_block_types: attends.map((yes) => (yes ? ('AttnUpBlock2D' as const) : ('UpBlock2D' as const))).reverse(),
  };
}

/** Up blocks as the down blocks that are given, and the other way round. */
function mirrored({ down_block_types: down, up_block_types: up }: ModelKeys) {
  if (down && !up) return { up_block_types: down.map((type) => UP_BLOCKS[DOWN_BLOCKS.indexOf(type)]).reverse() };
  if (up && !down) return { down_block_types: up.map((type) => DOWN_BLOCKS[UP_BLOCKS.indexOf(type)]).reverse() };
  return {};
}

/** Optimizer steps: a hundred passes over few images, enough for the network to settle on many. */
export function defaultSteps(images: number | undefined, imagesAStep: number): number {
  if (images === undefined) return 10_000;
  return Math.min(Math.max(Math.round((100 * images) / imagesAStep), 2000), 10_000);
}

/** The learning rate that was measured for small networks; Ho et al.'s (2020) for wide ones; less for tuning. */
export function defaultLearningRate(widest: number, tuning: 'lora' | 'all' | undefined): number {
  if (tuning) return tuning === 'lora' ? 1e-3 : 1e-4;
  return widest <= 128 ? 1.5e-3 : 2e-4;
}

/** The largest divisor of `n` up to `most`. */
export function largestDivisor(n: number, most: number): number {
  for (let divisor = most; divisor > 1; divisor--) if (n % divisor === 0) return divisor;
  return 1;
}

/** The largest number that divides both. */
export function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

function chooseLevels(keys: ModelKeys, data: DataSummary | undefined) {
  const given = keys.block_out_channels?.length ?? keys.down_block_types?.length ?? keys.up_block_types?.length;
  const said = typeof keys.sample_size === 'number' ? [keys.sample_size, keys.sample_size] : keys.sample_size;
  // images are made to fit levels that are chosen here; where the levels are given, so must the right size be
  const stored = data && [data.height, data.width];
  const source = said ?? (given === undefined && stored ? shrunk(stored) : stored);
  if (!source) return { levels: given ?? 1, attention: [] };
  const levels = given ?? levelsFor(source[0], source[1]);
  const size = said || given !== undefined ? source : source.map((n) => roundUp(n, 2 ** (levels - 1)));
  const smallest = Math.min(...size) / 2 ** (levels - 1);
  return {
    levels,
    size: size[0] === size[1] ? size[0] : size,
    attention: smallest <= largestAttended ? [levels - 1] : [],
  };
}

// attention over more pixels than 16 by 16 costs more than all the rest
const largestAttended = 16;
// beyond this an image takes a GPU, and a config of its own
const largestDefault = 64;

function shrunk([height, width]: readonly number[]): readonly number[] {
  const scale = Math.min(1, largestDefault / Math.min(height, width));
  return [Math.round(height * scale), Math.round(width * scale)];
}

/** As many levels as lead to about 8 pixels, of those that halve the size without remainder if there are any. */
function levelsFor(height: number, width: number): number {
  const short = Math.min(height, width);
  const deepest = Math.max(1 + Math.ceil(Math.log2(short / 8)), 2);
  for (let levels = deepest; levels >= 1; levels--) {
    const multiple = 2 ** (levels - 1);
    if (height % multiple === 0 && width % multiple === 0 && short / multiple <= largestAttended) return levels;
  }
  const levels = Math.max(1 + Math.ceil(Math.log2(short / largestAttended)), 2);
  const multiple = 2 ** (levels - 1);
  return levelsFor(roundUp(height, multiple), roundUp(width, multiple));
}

function roundUp(n: number, multiple: number): number {
  return Math.ceil(n / multiple) * multiple;
}
