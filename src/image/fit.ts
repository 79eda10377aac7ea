import { wrongValue } from '../core/errors.ts';
import { inChannels } from './channels.ts';
import { assertPixels, type Pixels } from './pixels.ts';

/** The size that an image is to have. */
export type Size = Pick<Pixels, 'width' | 'height' | 'channels'>;

/**
 * An image in the size and channels of a model. The size must be the model's already, or the same whole multiple of it
 * both ways, which is averaged down a square at a time; other sizes are refused, for how to cut or stretch them is a
 * choice of the user's.
 *
 * RGB becomes grey as (299 R + 587 G + 114 B)/1000 (ITU-R BT.601, as Pillow does), grey becomes equal R, G and B. What is
 * transparent is laid on white, unless the model has an alpha channel itself.
 *
 * @throws RangeError naming both sizes.
 */
export function fitPixels(image: Pixels, size: Size, argument = 'image'): Pixels {
  assertPixels(image, argument);
  const { width, height, channels } = size;
  const factor = image.width / width;
  if (!Number.isInteger(factor) || image.height !== height * factor)
    throw wrongValue(
      argument,
      `an image of ${width}x${height} or a whole multiple of it`,
      `${image.width}x${image.height}`,
    );
  return shrink(inChannels(image, channels), factor);
}

/** The mean of each square of `factor` pixels a side, rounded. */
function shrink(image: Pixels, factor: number): Pixels {
  if (factor === 1) return image;
  const { channels } = image;
  const [width, height] = [image.width / factor, image.height / factor];
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < data.length; i++) {
    const [c, x, y] = [i % channels, Math.floor(i / channels) % width, Math.floor(i / channels / width)];
    let sum = 0;
    for (let row = y * factor; row < (y + 1) * factor; row++)
      for (let column = x * factor; column < (x + 1) * factor; column++)
        sum += image.data[(row * image.width + column) * channels + c];
    data[i] = Math.round(sum / factor ** 2);
  }
  return { data, width, height, channels };
}
