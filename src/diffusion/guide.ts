import { assertNumber } from '../core/assert.ts';
import type { Condition } from '../core/denoiser.ts';
import { wrongKind } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import { alphaCumprodAt } from './alphaCumprodAt.ts';
import type { Schedule } from './schedule.ts';

/** Where a run is when it asks a guide. */
export interface GuideInfo {
  /** Which network call, from 0 to `calls` - 1. */
  readonly index: number;
  readonly calls: number;
  readonly condition?: Condition;
  readonly signal?: AbortSignal;
}

/**
 * Corrects what the network takes the finished images to be, at each of its calls: returns the corrected `start`, or
 * nothing to leave it. It may write into `start` and return that; `x`, the noisy images, is only to be read. Both are
 * views that are valid until the guide is done.
 *
 * `start` is the estimate before clipping, which still follows as the plan has it. The run changes what the network is
 * taken to have said so that its estimate becomes the corrected one: every sampler and its history then see that. Where
 * the answer has no part in the estimate (the first step of an inversion) the guide is not asked.
 */
export type Guide = (
  start: Tensor,
  x: Tensor,
  timestep: number,
  info: GuideInfo,
) => Tensor | undefined | Promise<Tensor | undefined>;

/**
 * A guide that follows the gradient of log p(y given x_t), as classifier guidance does (Dhariwal and Nichol 2021,
 * algorithm 2): eps' = eps - sqrt(1 - abar_t) scale gradient, so start' = start + (1 - abar_t)/sqrt(abar_t) scale gradient.
 *
 * @param gradient Takes what a guide takes, x first; gives the gradient with respect to x, of the shape of x.
 * @param options.scale How strongly. Default 1, which samples from p(x given y) if both models are right.
 */
export function gradientGuide(
  schedule: Schedule,
  gradient: (x: Tensor, timestep: number, info: GuideInfo & { readonly start: Tensor }) => Tensor | Promise<Tensor>,
  options: { readonly scale?: number } = {},
): Guide {
  if (typeof gradient !== 'function') throw wrongKind('gradient', 'a function', gradient);
  const { scale = 1 } = options;
  assertNumber(scale, 'scale');
  return async (start, x, timestep, info) => {
    const slope = await gradient(x, timestep, { ...info, start });
    assertTensor(slope, 'gradient', x.shape);
    const abar = alphaCumprodAt(schedule, timestep);
    return schedule.engine.scratch((arena) => {
      const out = arena.allocF32(start.data);
      const weights = arena.allocF64([1, ((1 - abar) / Math.sqrt(abar)) * scale]);
      const size = sizeOf(x.shape);
      arena.wasm.mix(out, out, arena.allocF32(slope.data), weights, 1, size);
      return { data: arena.f32(out, size).slice(), shape: start.shape };
    });
  };
}
