import { assertInteger, assertNumber } from '../core/assert.ts';
import type { Condition } from '../core/denoiser.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import type { EditOptions } from '../diffusion/edit.ts';
import type { Guidance } from '../diffusion/guidance.ts';
import type { Guide } from '../diffusion/guide.ts';
import type { Rng } from '../diffusion/noise.ts';
import type { PlanOptions } from '../diffusion/plan.ts';
import type { RunOptions } from '../diffusion/sample.ts';
import type { Model } from '../model/types.ts';

/**
 * What to sample; whatever a plan can be asked for may be given too. Without a `sampler` the model's sampling.json
 * applies where there is one, and else its scheduler config.
 */
export interface SampleOptions extends PlanOptions, EditOptions {
  /** How many images. Default: as many as `init` or `start` has, else 1. */
  readonly count?: number;
  /** Decides every random number: an integer from 0 to 2^64 - 1. Default 0. */
  readonly seed?: number | bigint;
  readonly rng?: Rng;
  /**
   * One class for all images or one for each, by index or by name. By default a model with classes shows them in turn.
   */
  readonly class?: number | string | readonly (number | string)[];
  /**
   * Classifier-free guidance: none + guidance * (conditional - none). 0 and 1 are the plain network with one call;
   * anything else needs a model with an unconditional label. Default: what the model's sampling.json says, else 0.
   */
  readonly guidance?: number;
  /** The share of Lin et al.'s rescaling in guidance, 0 (default) to 1: large scales then keep their contrast. */
  readonly guidanceRescale?: number;
  /** Corrects what the network takes the finished images to be, at each call. */
  readonly guide?: Guide;
  /** Number of the first image within the seed's images, so that a run can be done in parts. Default 0. */
  readonly first?: number;
  /** Where to start instead of at fresh noise: unit-variance noise, or the images for `ddim-inverse`. */
  readonly start?: Tensor;
  /** Of `steps`: yield after every so many network calls, and at the end. Default 1. */
  readonly every?: number;
  readonly signal?: AbortSignal;
}

/** Between what to interpolate: seeds, or noise [1, channels, height, width] such as an image inverted. */
export interface InterpolateOptions extends Omit<SampleOptions, 'start' | 'init' | 'strength' | 'mask'> {
  readonly from: number | bigint | Tensor;
  readonly to: number | bigint | Tensor;
}

/** What goes to the run, to the plan and to the edit that makes it. */
export function splitOptions(model: Model, options: SampleOptions) {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { init, strength, mask, jumpLength, jumpCount, refine, guidance, guidanceRescale, ...others } = options;
  const { start, count = (init ?? start)?.shape?.[0] ?? 1, seed = 0, class: classes, ...unedited } = others;
  const { rng, first, guide, every, signal, ...asked } = unedited;
  assertInteger(count, 'count', 1, 1_000_000);
  const labels = classLabels(model, classes, { count, first: first ?? 0 });
  const condition: Condition | undefined = labels && { classLabels: labels };
  const run: RunOptions = { shape: [count, ...model.shape], seed, rng, start, first, guide, every, condition, signal };
  const { guidance: recommended = 0, ...sampling } = model.sampling ?? {};
  return {
    run,
    plan: asked.sampler === undefined ? withDefaults(asked, sampling) : asked,
    edit: { init, strength, mask, jumpLength, jumpCount, refine },
    guidance: guidanceOf(model, guidance ?? recommended, guidanceRescale),
  };
}

/** The model's recommendation where nothing else is asked; a list of timesteps says how many there are, and where. */
function withDefaults(asked: PlanOptions, { steps, useKarrasSigmas, ...sampling }: PlanOptions): PlanOptions {
  const given = defined(asked);
  const placed = given.timesteps ?? given.timestepRespacing;
  return { ...sampling, ...(placed === undefined && { steps, useKarrasSigmas }), ...given };
}

/** The options that are given, so that others can stand in for those that are not. */
export function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** What `guided` takes, or undefined for the plain network. */
function guidanceOf(model: Model, scale: number, rescale = 0): Guidance | undefined {
  assertNumber(scale, 'guidance', 0, 1000);
  assertNumber(rescale, 'guidanceRescale', 0, 1);
  if (scale === 0 || scale === 1) return undefined;
  if (model.unconditional === undefined)
    throw wrongValue('guidance', `0, as ${model.name} has no label that means "no class"`, scale);
  return { scale, rescale, unconditional: model.unconditional };
}

/** A class index for each image, or undefined for a model without classes. */
function classLabels(
  model: Model,
  classes: SampleOptions['class'],
  { count, first }: { count: number; first: number },
): number[] | undefined {
  if (model.classes === 0) {
    if (classes !== undefined) throw wrongValue('class', `none, as ${model.name} is not class-conditional`, classes);
    return undefined;
  }
  // every label but the one that means no class
  const named = Array.from({ length: model.classes }, (_, i) => i).filter((label) => label !== model.unconditional);
  if (classes === undefined) return Array.from({ length: count }, (_, k) => named[(first + k) % named.length]);
  const list = (Array.isArray(classes) ? classes : [classes]).map((label) => classIndex(model, label));
  if (list.length !== 1 && list.length !== count) throw wrongValue('class', `one class or ${count}`, list);
  return Array.from({ length: count }, (_, k) => list[list.length === 1 ? 0 : k]);
}

function classIndex(model: Model, label: unknown): number {
  const { labels, classes } = model;
  if (typeof label === 'string') {
    const index = labels?.findIndex((name) => name.toLowerCase() === label.toLowerCase()) ?? -1;
    if (index >= 0) return index;
    throw wrongValue(
      'class',
      labels ? `one of ${labels.join(', ')} or an index` : `an index in 0..${classes - 1}`,
      label,
    );
  }
  assertInteger(label, 'class', 0, classes - 1);
  return label;
}
