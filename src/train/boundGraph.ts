import type { GraphBuilder, Value } from '../onnx/graph.ts';
import { Shapes } from '../onnx/shapes.ts';
import { arithmetic } from '../onnx/step.ts';
import type { Coefficient } from './coefficients.ts';

/** A column of the coefficients, [N, 1, 1, 1]. */
export type Columns = (name: Coefficient) => Value;

/** What the terms of the bound are made of. */
export interface BoundInputs {
  /** x_0, of values byte/127.5 - 1, and the error of what the network predicts, [N, C, H, W]. */
  readonly images: Value;
  readonly error: Value;
  /** v, the other half of the network's answer: -1 for the posterior's log-variance, 1 for that of beta. */
  readonly variance: Value;
  readonly of: Columns;
}

/**
 * The term of the variational bound of each image, T times in bits per dimension, [N, 1, 1, 1]: KL(q(x_{t-1} given x_t, x_0)
 * to p(x_{t-1} given x_t)), or at t = 0 the negative log-likelihood of the 8-bit image. The start is not clipped.
 *
 * `stop` is where gradients are to stop: the term teaches the variance alone (Nichol and Dhariwal 2021, section 3.1).
 */
export function boundTerms(g: GraphBuilder, { images, error, variance, of }: BoundInputs) {
  const { add, sub, mul, neg, exp, times, mean, number } = arithmetic(g, new Shapes(g));
  const axes = [1, 2, 3];
  // both means are the same combination of x_t and a start, and their distance is a multiple of the error
  const distance = mul(error, of('meanError'));
  // log(var p / var q), in terms of v
  const ratio = mul(add(variance, number(1)), of('logVarianceReach'));

  // (ratio + (1 + distance^2) / e^ratio - 1) / 2, in an order that keeps small ratios
  const shrunk = exp(neg(ratio));
  const scaled = mul(mul(distance, distance), shrunk);
  const divergence = times(mean(add(add(ratio, sub(shrunk, number(1))), scaled), axes), 0.5);
  const likelihood = mean(logLikelihood(g, { images, distance, ratio, of }), axes);
  const terms = sub(mul(divergence, of('divergence')), mul(likelihood, of('likelihood')));
  return { terms, stop: [distance] };
}

/**
 * The log of the mass of the bin around each 8-bit value, at least 1e-12, in OpenAI's approximation of the normal cdf by
 * (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2; the outermost bins reach to infinity.
 */
function logLikelihood(
  g: GraphBuilder,
  { images, distance, ratio, of }: { images: Value; distance: Value; ratio: Value; of: Columns },
): Value {
  const { add, sub, mul, neg, exp, log, times, where, less, greater, number } = arithmetic(g, new Shapes(g));
  const inverse = exp(times(ratio, -0.5));
  const tanh = (edge: Value) => {
    // where |z| is 8 the tangent is 1 long since, and a large cube would be infinite
    const z = g.op('Clip', [mul(inverse, sub(edge, distance)), number(-8), number(8)]);
    const factor = add(times(mul(z, z), 0.044715 * Math.sqrt(2 / Math.PI)), number(Math.sqrt(2 / Math.PI)));
    return g.op('Tanh', [mul(z, factor)]);
  };
  const reach = of('binReach');
  const upper = where(greater(images, number(0.999)), number(1), tanh(reach));
  const lower = where(less(images, number(-0.999)), number(-1), tanh(neg(reach)));
  const mass = times(sub(upper, lower), 0.5);
  return log(g.op('Clip', [mass, number(1e-12), number(1)]));
}
