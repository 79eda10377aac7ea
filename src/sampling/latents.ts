import { assertInteger } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import { assertTensor, type Tensor } from '../core/tensor.ts';
import { slerp } from '../diffusion/interpolate.ts';
import { faithful } from '../diffusion/inversion.ts';
import { randn } from '../diffusion/noise.ts';
import type { Engine } from '../engine/engine.ts';
import type { Model } from '../model/types.ts';
import { defined, type InterpolateOptions, type SampleOptions } from './options.ts';

/** What `sample` is asked for to find the noise of images. */
export function inversionOptions(model: Model, images: Tensor, options: SampleOptions): SampleOptions {
  const { refine = 1, ...rest } = options;
  return { ...reconstructionOptions(model, images, rest), sampler: 'ddim-inverse', refine };
}

/** What `sample` is asked for to come back from such noise. */
export function reconstructionOptions(model: Model, start: Tensor, options: SampleOptions): SampleOptions {
  assertTensor(start, 'start');
  const { steps, timesteps, class: classes = model.unconditional } = options;
  const chosen = steps === undefined && timesteps === undefined ? { steps: 100 } : {};
  return { ...faithful, guidance: 0, ...chosen, ...defined(options), class: classes, count: start.shape[0], start };
}

/** What `sample` is asked for to fill the way between two noises. */
export function interpolationOptions(engine: Engine, model: Model, options: InterpolateOptions): SampleOptions {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { from, to, count = 8, ...rest } = options;
  assertInteger(count, 'count', 2, 1_000_000);
  const shape = [1, ...model.shape];
  const noiseOf = (end: InterpolateOptions['from'], argument: string) => {
    if (typeof end === 'number' || typeof end === 'bigint')
      return randn(engine, shape, { seed: end, rng: options.rng });
    assertTensor(end, argument, shape);
    return end;
  };
  const weights = Array.from({ length: count }, (_, i) => i / (count - 1));
  const start = slerp(engine, noiseOf(from, 'from'), noiseOf(to, 'to'), weights);
  // the noise of an image is followed the way that it was found
  if (typeof from === 'object' || typeof to === 'object') return reconstructionOptions(model, start, rest);
  const { class: classes = model.classes > 0 ? 0 : undefined } = rest;
  const { sampler, eta } = faithful;
  return { ...(rest.sampler ? {} : { sampler, eta }), ...defined(rest), class: classes, count, start };
}
