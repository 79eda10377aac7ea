import type { Tensor } from '../core/tensor.ts';

/**
 * Images [n, c, h, w] in another size: bilinear with half-pixel centres, the triangle widened where an image shrinks so
 * that every pixel counts. Enlarging it is torch's `interpolate(mode='bilinear')`, which the FID of PyTorch uses;
 * shrinking it is the same with `antialias=True`, as Parmar et al. 2022 advise.
 */
export function resizeImages(images: Tensor, height: number, width: number): Tensor {
  const [n, c, fromHeight, fromWidth] = images.shape;
  if (fromHeight === height && fromWidth === width) return images;
  const planes = n * c;
  const wide = resample(images.data, { outer: planes * fromHeight, from: fromWidth, to: width, inner: 1 });
  const data = resample(wide, { outer: planes, from: fromHeight, to: height, inner: width });
  return { data, shape: [n, c, height, width] };
}

interface Axis {
  /** Values before the axis, on it, and after it: [outer, from, inner] becomes [outer, to, inner]. */
  readonly outer: number;
  readonly from: number;
  readonly to: number;
  readonly inner: number;
}

function resample(data: Float32Array, { outer, from, to, inner }: Axis): Float32Array {
  const taps = tapsOf(from, to);
  const out = new Float32Array(outer * to * inner);
  const sums = new Float64Array(inner);
  for (let o = 0; o < outer; o++)
    for (const [at, { first, weights }] of taps.entries()) {
      sums.fill(0);
      for (const [i, weight] of weights.entries()) {
        const begin = (o * from + first + i) * inner;
        for (let k = 0; k < inner; k++) sums[k] += weight * data[begin + k];
      }
      out.set(sums, (o * to + at) * inner);
    }
  return out;
}

/** Which pixels each new one is made of, and how much of each; what would lie outside is left out. */
function tapsOf(from: number, to: number): { first: number; weights: Float64Array }[] {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach));
    const last = Math.min(from - 1, Math.ceil(centre + reach));
    const weights = Float64Array.from({ length: last - first + 1 }, (_, i) =>
      Math.max(0, 1 - Math.abs(first + i + 0.5 - centre) / reach),
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}
