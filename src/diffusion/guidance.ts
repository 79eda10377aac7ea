import type { Condition, Denoiser } from '../core/denoiser.ts';
import { DdpmError } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';

/**
 * A denoiser guided towards its class without a classifier (Ho and Salimans 2022), with diffusers' scale:
 *
 *     guided = none + scale * (conditional - none)
 *
 * so 1 is the plain network and larger is more typical of the class. Both predictions come from one network call on
 * twice the images. A predicted variance (the second half of channels) is taken from the conditional one.
 *
 * @param options.scale The guidance scale.
 * @param options.unconditional The label that the network was trained to read as no class.
 */
export function guided(
  engine: Engine,
  denoiser: Denoiser,
  options: { scale: number; unconditional: number },
): Denoiser {
  const { scale, unconditional } = options;
  return async (x, timesteps, condition) => {
    const [count, ...image] = x.shape;
    const none = new Array<number>(count).fill(unconditional);
    const labels = Array.from(condition?.classLabels ?? none);
    const answer = await denoiser({ data: twice(x.data), shape: [2 * count, ...image] }, twice(timesteps), {
      classLabels: [...labels, ...none],
    } satisfies Condition);
    if (answer?.shape?.[0] !== 2 * count)
      throw new DdpmError('network-failed', `the network answered for ${answer?.shape?.[0]} images, not ${2 * count}`);
    return extrapolate(engine, answer, { scale, guidedSize: sizeOf(image) });
  };
}

/** scale * conditional + (1 - scale) * none over the first `guidedSize` values of each image. */
function extrapolate(engine: Engine, answer: Tensor, options: { scale: number; guidedSize: number }): Tensor {
  const { scale, guidedSize } = options;
  const count = answer.shape[0] / 2;
  const stride = sizeOf(answer.shape.slice(1));
  return engine.scratch((arena) => {
    const conditional = arena.allocF32(answer.data);
    const weights = arena.allocF64([scale, 1 - scale]);
    for (let i = 0; i < count; i++) {
      const image = conditional + i * stride * 4;
      arena.wasm.mix(image, image, image + count * stride * 4, weights, 1, guidedSize);
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
