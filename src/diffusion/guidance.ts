import { assertNumber } from '../core/assert.ts';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { DdpmError } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';

/** How much a network is guided. */
export interface Guidance {
  /** The guidance scale. */
  readonly scale: number;
  /** The label that the network was trained to read as no class. */
  readonly unconditional: number;
  /** The phi of Lin et al., from 0 (default, none of it) to 1; they take 0.7. */
  readonly rescale?: number;
}

/**
 * A denoiser guided towards its class without a classifier (Ho and Salimans 2022), with diffusers' scale:
 *
 *     guided = none + scale * (conditional - none)
 *
 * so 1 is the plain network and larger is more typical of the class. Both predictions come from one network call on
 * twice the images. A predicted variance (the second half of channels) is taken from the conditional one.
 *
 * Large scales make images too contrasty. `rescale` takes that back (Lin et al. 2024, section 3.4): with std the standard
 * deviation over all values of an image,
 *
 *     guided' = rescale * guided * std(conditional)/std(guided) + (1 - rescale) * guided
 *
 * @throws TypeError or RangeError naming the option.
 */
export function guided(engine: Engine, denoiser: Denoiser, options: Guidance): Denoiser {
  const { scale, unconditional, rescale = 0 } = options;
  assertNumber(scale, 'scale');
  assertNumber(rescale, 'rescale', 0, 1);
  return async (x, timesteps, condition) => {
    const [count, ...image] = x.shape;
    const none = new Array<number>(count).fill(unconditional);
    const labels = Array.from(condition?.classLabels ?? none);
    const answer = await denoiser({ data: twice(x.data), shape: [2 * count, ...image] }, twice(timesteps), {
      classLabels: [...labels, ...none],
    } satisfies Condition);
    if (answer?.shape?.[0] !== 2 * count)
      throw new DdpmError('network-failed', `the network answered for ${answer?.shape?.[0]} images, not ${2 * count}`);
    return extrapolate(engine, answer, { scale, rescale, guidedSize: sizeOf(image) });
  };
}

/** scale * conditional + (1 - scale) * none over the first `guidedSize` values of each image, then rescaled. */
function extrapolate(
  engine: Engine,
  answer: Tensor,
  options: { scale: number; rescale: number; guidedSize: number },
): Tensor {
  const { scale, rescale, guidedSize } = options;
  const count = answer.shape[0] / 2;
  const stride = sizeOf(answer.shape.slice(1));
  return engine.scratch((arena) => {
    const conditional = arena.allocF32(answer.data);
    const weights = arena.allocF64([scale, 1 - scale]);
    const factors = arena.allocF64([1, 0]);
    for (let i = 0; i < count; i++) {
      const image = conditional + i * stride * 4;
      const before = rescale && arena.wasm.variance(image, guidedSize);
      arena.wasm.mix(image, image, image + count * stride * 4, weights, 1, guidedSize);
      const after = rescale && arena.wasm.variance(image, guidedSize);
      if (after === 0) continue;
      arena.f64(factors, 2).set([rescale * Math.sqrt(before / after) + 1 - rescale, 0]);
      arena.wasm.mix(image, image, image, factors, 1, guidedSize);
    }
    return { data: arena.f32(conditional, count * stride).slice(), shape: [count, ...answer.shape.slice(1)] };
  });
}

function twice(values: Float32Array): Float32Array {
  const both = new Float32Array(2 * values.length);
  both.set(values);
  both.set(values, values.length);
  return both;
}
