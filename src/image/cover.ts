import { type Colour, inChannels } from './channels.ts';
import type { Size } from './fit.ts';
import { assertPixels, type Pixels } from './pixels.ts';

/**
 * An image of any size in the size and channels of a model: scaled, its proportions kept, until it just covers the size,
 * and cut where it stands out: evenly on both sides, unless `window` says what part of that goes on the left and on top.
 *
 * A smaller image is made of the mean over the area that each of its pixels covers, a larger one by bilinear
 * interpolation between the centres of pixels; without scaling pixels are copied. Channels as in `inChannels`: they are
 * changed first, so what is transparent lies on the background before it is scaled; with 4 channels colours count as
 * much as they are opaque. Rounded to nearest.
 *
 * @throws TypeError or RangeError naming what is wrong with the image.
 */
export function coverPixels(
  image: Pixels,
  { width, height, channels }: Size,
  background?: Colour,
  window: CropWindow = middle,
): Pixels {
  assertPixels(image, 'image');
  const converted = inChannels(image, channels, background);
  if (image.width === width && image.height === height) return converted;
  const scale = Math.min(image.width / width, image.height / height);
  const columns = spansOf(image.width, width, { scale, cut: window[0] });
  const rows = spansOf(image.height, height, { scale, cut: window[1] });
  return { data: resample(converted, columns, rows), width, height, channels };
}

/**
 * Where the window lies that is kept of an image: 0 is the left or top end of where it can, 1 the right or bottom end. By
 * whole pixels where nothing is scaled, each place for an equal part of 0..1.
 */
export type CropWindow = readonly [x: number, y: number];

const middle: CropWindow = [0.5, 0.5];

/** The pixels along an axis that one new pixel is made of: `weights` from pixel `begin` on, of sum `total`. */
interface Span {
  readonly begin: number;
  readonly weights: readonly number[];
  readonly total: number;
}

function spansOf(length: number, wanted: number, { scale, cut }: { scale: number; cut: number }): Span[] {
  const over = length - wanted * scale;
  // place p is that of fractions above p/(over + 1) and up to the next: 0.5 is the left of two middles
  const margin = scale === 1 ? Math.max(Math.ceil((over + 1) * cut) - 1, 0) : over * cut;
  return Array.from({ length: wanted }, (_, i) => {
    if (scale === 1) return { begin: margin + i, weights: [1], total: 1 };
    const from = margin + i * scale;
    return scale > 1 ? areaSpan(from, from + scale, length) : linearSpan(from + scale / 2 - 0.5, length);
  });
}

// weights stay undivided: for whole multiples they are whole, and a mean of bytes is then exact until it is rounded
function areaSpan(from: number, to: number, length: number): Span {
  const begin = Math.max(Math.floor(from), 0);
  const end = Math.min(Math.ceil(to), length);
  const weights = Array.from({ length: end - begin }, (_, i) =>
    Math.max(Math.min(begin + i + 1, to) - Math.max(begin + i, from), 0),
  );
  return { begin, weights, total: weights.reduce((sum, weight) => sum + weight, 0) };
}

function linearSpan(centre: number, length: number): Span {
  const begin = Math.floor(centre);
  if (begin < 0) return { begin: 0, weights: [1], total: 1 };
  if (begin >= length - 1) return { begin: length - 1, weights: [1], total: 1 };
  return { begin, weights: [begin + 1 - centre, centre - begin], total: 1 };
}

/** Weighted means, first along the lines, then down the columns; with alpha, of colours times their opacity. */
function resample(image: Pixels, columns: readonly Span[], rows: readonly Span[]): Uint8Array {
  const { data, width, height, channels } = image;
  const stride = columns.length * channels;
  const lines = new Float64Array(height * stride);
  for (let y = 0, at = 0; y < height; y++)
    for (const { begin, weights } of columns)
      for (let c = 0; c < channels; c++, at++) {
        let sum = 0;
        for (let i = 0, from = (y * width + begin) * channels; i < weights.length; i++, from += channels)
          sum += weights[i] * data[from + c] * (channels === 4 && c < 3 ? data[from + 3] : 1);
        lines[at] = sum;
      }

  const means = new Float64Array(rows.length * stride);
  for (let y = 0, at = 0; y < rows.length; y++)
    for (let x = 0; x < stride; x++, at++) {
      const { begin, weights } = rows[y];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * lines[(begin + i) * stride + x];
      means[at] = sum;
    }

  // every column has the same total of weights, and every row
  const total = columns[0].total * rows[0].total;
  const bytes = new Uint8Array(means.length);
  for (let i = 0; i < bytes.length; i++) {
    // what is transparent has no colour
    const opacity = channels === 4 && i % 4 < 3 ? means[i | 3] || Infinity : total;
    bytes[i] = Math.round(means[i] / opacity);
  }
  return bytes;
}
