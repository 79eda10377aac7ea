import { wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';
import type { Pixels } from './pixels.ts';

/**
 * Images as bytes: [count, C, H, W] floats in [-1, 1], with 1, 3 or 4 channels, become count images.
 *
 * As in diffusers: x/2 + 0.5 clamped to [0, 1], times 255, rounded half to even.
 *
 * @throws RangeError for another number of channels or dimensions.
 */
export function toPixels(engine: Engine, images: Tensor): Pixels[] {
  assertTensor(images, 'images');
  const [count, channels, height, width] = images.shape;
  if (images.shape.length !== 4 || !(channels === 1 || channels === 3 || channels === 4))
    throw wrongValue('images.shape', '[count, channels, height, width] with 1, 3 or 4 channels', images.shape);
  const size = channels * height * width;
  return engine.scratch((arena) => {
    const x = arena.allocF32(images.data);
    const out = arena.alloc(size);
    return Array.from({ length: count }, (_, i) => {
      arena.wasm.toBytes(out, x + i * size * 4, channels, height * width);
      return { data: arena.u8(out, size).slice(), width, height, channels };
    });
  });
}

/** The other way: images of equal size become [count, C, H, W] floats, byte/127.5 - 1. */
export function fromPixels(engine: Engine, images: readonly Pixels[]): Tensor {
  const [{ channels, height, width }] = images;
  const size = channels * height * width;
  const odd = images.find((image) => image.data.length !== size || image.width !== width);
  if (odd) throw wrongValue('images', `the size of the first, ${height}x${width}`, `${odd.height}x${odd.width}`);
  const shape = [images.length, channels, height, width];
  return engine.scratch((arena) => {
    const bytes = arena.alloc(size);
    const out = arena.alloc(sizeOf(shape) * 4);
    images.forEach(({ data }, i) => {
      arena.u8(bytes, size).set(data);
      arena.wasm.fromBytes(out + i * size * 4, bytes, channels, height * width);
    });
    return { data: arena.f32(out, sizeOf(shape)).slice(), shape };
  });
}
