import { assertNumber } from '../core/assert.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';

/**
 * KL(N(mean1, e^logVariance1) to N(mean2, e^logVariance2)) of one dimension, in nats:
 * log(s2/s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2.
 *
 * Dimensions add up; for images the engine sums it, in `variationalBound`.
 */
export function normalKl(mean1: number, logVariance1: number, mean2: number, logVariance2: number): number {
  const ratio = logVariance1 - logVariance2;
  const distance = (mean1 - mean2) ** 2 * Math.exp(-logVariance2);
  // e^r - 1 loses what r keeps where the variances are nearly the same
  return 0.5 * (Math.expm1(ratio) - ratio + distance);
}

/**
 * The log-likelihood of images of 8-bit values under a Gaussian: for each image the sum over its pixels, in nats.
 *
 * A pixel's likelihood is the mass of the bin of width 2/255 around it, where the bins at -1 and 1 reach to infinity (Ho
 * et al. 2020, eq. 13), at least 1e-12. The normal distribution's cdf is OpenAI's approximation by a hyperbolic tangent.
 *
 * @param x0 Images [count, ...] of values byte/127.5 - 1.
 * @param options.mean The Gaussian's mean, of the shape of x0.
 * @param options.logVariance The logarithm of its variance: one number, or a tensor of the shape of x0.
 * @throws TypeError or RangeError naming the argument.
 */
export function discretizedLogLikelihood(
  engine: Engine,
  x0: Tensor,
  options: { readonly mean: Tensor; readonly logVariance: Tensor | number },
): Float64Array {
  const { mean, logVariance } = options;
  assertTensor(x0, 'x0');
  assertTensor(mean, 'mean', x0.shape);
  if (typeof logVariance === 'number') assertNumber(logVariance, 'logVariance');
  else assertTensor(logVariance, 'logVariance', x0.shape);
  const [count] = x0.shape;
  const pixels = sizeOf(x0.shape) / count;
  return engine.scratch((arena) => {
    const [x, mu] = [x0, mean].map(({ data }) => arena.allocF32(data));
    const [v, p, q] = typeof logVariance === 'number' ? [mu, logVariance, 0] : [arena.allocF32(logVariance.data), 0, 1];
    return Float64Array.from({ length: count }, (_, i) => {
      const at = i * pixels * 4;
      return arena.wasm.discretized(x + at, mu + at, v + at, p, q, pixels);
    });
  });
}
