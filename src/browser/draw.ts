import { wrongValue } from '../core/errors.ts';
import { assertTensor, type Tensor } from '../core/tensor.ts';

/**
 * Draws images [count, C, H, W] in [-1, 1], C 1, 3 or 4, pixel by pixel in a grid of about as many rows as columns. The
 * canvas takes the size of the grid: CSS makes it larger, and `image-rendering: pixelated` keeps its pixels sharp.
 *
 * @throws TypeError or RangeError for what is no such tensor.
 */
export function drawImages(canvas: HTMLCanvasElement, images: Tensor): void {
  assertTensor(images, 'images');
  const { data, shape } = images;
  const [count, channels, height, width] = shape;
  if (shape.length !== 4 || ![1, 3, 4].includes(channels))
    throw wrongValue('images.shape', 'grey, RGB or RGBA images [count, 1, 3 or 4, height, width]', shape);
  const columns = Math.ceil(Math.sqrt(count));
  const gap = count > 1 ? Math.ceil(width / 32) : 0;
  const sides = [columns * (width + gap) - gap, Math.ceil(count / columns) * (height + gap) - gap];
  // a canvas that is given a size, even its own, is blank
  if (canvas.width !== sides[0] || canvas.height !== sides[1]) [canvas.width, canvas.height] = sides;
  const context = canvas.getContext('2d')!;
  const image = context.createImageData(width, height);
  for (let i = 0; i < count; i++) {
    fill(image.data, data.subarray(i * channels * height * width), channels, height * width);
    context.putImageData(image, (i % columns) * (width + gap), Math.floor(i / columns) * (height + gap));
  }
}

/** Planes of floats as RGBA bytes; a clamped array rounds half to even, as `toPixels` does. */
function fill(out: Uint8ClampedArray, planes: Float32Array, channels: number, size: number): void {
  for (let p = 0; p < size; p++) {
    for (let c = 0; c < 4; c++) {
      const plane = channels === 1 ? 0 : c;
      out[4 * p + c] = c === 3 && channels < 4 ? 255 : (planes[plane * size + p] * 0.5 + 0.5) * 255;
    }
  }
}
