import { assertInteger } from '../core/assert.ts';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertShape, assertTensor, type Tensor } from '../core/tensor.ts';
import type { Guide } from './guide.ts';
import { assertKnown, type Init, type Inpainting } from './known.ts';
import { assertRng, assertSeed, type Rng } from './noise.ts';
import type { Plan } from './plan.ts';

/** What a run needs besides its plan and its network. */
export interface RunOptions {
  /** [count, channels, height, width] of the images. */
  readonly shape: readonly number[];
  /** Decides every random number of the run: an integer from 0 to 2^64 - 1. */
  readonly seed: number | bigint;
  /**
   * Which random numbers: `philox` (default), a stream of its own for each image, or `torch`, torch's CPU stream. That is
   * drawn a batch at a time: the noise to start from (unless `start` is given), then step by step the noise of the
   * step's rows and, with `inpaint`, that of the known pixels, which the last step has none of.
   */
  readonly rng?: Rng;
  /** Where to start instead of at fresh noise: unit-variance noise, or the image for `ddim-inverse`. */
  readonly start?: Tensor;
  /** Start at these images, noised to where the plan begins: image-to-image with a plan of `createPartialPlan`. */
  readonly init?: Init;
  /** Keep a part of these images, noised to where the run is, and exactly in the end. Any plan but `ddim-inverse`. */
  readonly inpaint?: Inpainting;
  /** Corrects what the network takes the finished images to be. */
  readonly guide?: Guide;
  /** Passed on to the denoiser, one entry an image. */
  readonly condition?: Condition;
  /** The run's first image is number `first` of the seed's images, so that a run can be done in parts. Default 0. */
  readonly first?: number;
  /** Step by step: yield after every so many network calls, and at the end. Default 1. */
  readonly every?: number;
  /** Cancels the run between network calls. */
  readonly signal?: AbortSignal;
}

/** Checks what a run is given, once. */
export function checkRun(plan: Plan, denoiser: Denoiser, options: RunOptions): void {
  if (typeof denoiser !== 'function') throw wrongKind('denoiser', 'a function', denoiser);
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertShape(options.shape, 'shape');
  assertSeed(options.seed);
  assertRng(options.rng ?? 'philox');
  assertInteger(options.first ?? 0, 'first', 0, Number.MAX_SAFE_INTEGER);
  assertInteger(options.every ?? 1, 'every', 1, Number.MAX_SAFE_INTEGER);
  if (options.start) assertTensor(options.start, 'start', options.shape);
  if (options.init && options.start) throw wrongValue('start', 'none beside "init"', options.start);
  if (options.init) assertKnown(options.init, 'init', options.shape);
  if (options.inpaint) {
    assertKnown(options.inpaint, 'inpaint', options.shape);
    if (plan.sampler === 'ddim-inverse') throw wrongValue('inpaint', 'none while inverting', options.inpaint);
  }
  if (options.guide !== undefined && typeof options.guide !== 'function')
    throw wrongKind('guide', 'a function', options.guide);
  if (plan.sampler === 'ddim-inverse' && !options.start)
    throw wrongKind('start', 'the images to invert', options.start);
}
