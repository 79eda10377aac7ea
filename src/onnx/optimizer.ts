import { assertInteger, assertKeys, assertNumber } from '../core/assert.ts';
import { GraphBuilder, type Value } from './graph.ts';
import { Shapes } from './shapes.ts';
import { arithmetic } from './step.ts';

/** What stays the same over all steps of AdamW; what changes comes with each step as `rates`. */
export interface UpdateOptions {
  /** How slowly the first and the second moment move. */
  readonly betas: readonly [number, number];
  /** Added to the root of the second moment. */
  readonly epsilon: number;
  /** Decoupled weight decay; 0 for none. */
  readonly weightDecay: number;
  /** Whether an exponential moving average of the parameters is kept. */
  readonly ema: boolean;
}

/** The entries of `rates`, in their order; t counts steps from 1. */
export const RATES = [
  'gradientFactor', // what the gradient is scaled by, such as min(1, clip / its norm)
  'learningRate',
  'firstCorrection', // 1 / (1 - beta1^t)
  'secondCorrection', // 1 / (1 - beta2^t)
  'emaDecay', // how much of the average is left
] as const;

/**
 * A graph that adds up the gradients of `parts` workers: float32 `gradients` [parts, size] in, `gradient` [size] and the
 * sum of its squares, `squares` [], out. Squares of slices add up to the square of the whole gradient's norm.
 *
 * @returns an ONNX file
 * @throws TypeError or RangeError naming the argument
 */
export function reduceGraph(parts: number, size: number): Uint8Array {
  assertInteger(parts, 'parts', 1, 65536);
  assertInteger(size, 'size', 1, 2 ** 31 - 1);
  const g = new GraphBuilder('reduce');
  const gradients = g.input('gradients', 'float32', [parts, size]);
  const gradient = g.op('ReduceSum', [gradients, g.intVector([0])], { keepdims: 0 });
  const squares = g.op('ReduceSumSquare', [gradient], { keepdims: 0 });
  g.output('gradient', 'float32', [size], gradient);
  g.output('squares', 'float32', [], squares);
  return g.toBytes();
}

/**
 * A graph of one step of AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW takes it, on a vector of parameters or
 * a slice of one.
 *
 * Inputs, float32 [size]: `gradient`, `parameters`, `first_moments`, `second_moments` and, with `ema`, `ema`; and `rates`
 * [5], which `RATES` names. Outputs: `new_parameters`, `new_first_moments`, `new_second_moments` and `new_ema`.
 *
 * @returns an ONNX file
 * @throws TypeError or RangeError naming the argument
 */
export function updateGraph(size: number, options: UpdateOptions): Uint8Array {
  assertInteger(size, 'size', 1, 2 ** 31 - 1);
  assertKeys(options, 'updateGraph', ['betas', 'epsilon', 'weightDecay', 'ema']);
  const { betas, epsilon, weightDecay, ema } = options;
  for (const beta of betas) assertNumber(beta, 'betas[]', 0, 1);
  assertNumber(epsilon, 'epsilon', 0);
  assertNumber(weightDecay, 'weightDecay', 0);

  const g = new GraphBuilder('update');
  const { add, sub, mul, div, sqrt, number, times } = arithmetic(g, new Shapes(g));
  const input = (name: string) => g.input(name, 'float32', [size]);
  const gradient = input('gradient');
  const parameters = input('parameters');
  const moments = [input('first_moments'), input('second_moments')];
  const average = ema ? input('ema') : undefined;
  const rates = g.input('rates', 'float32', [RATES.length]);
  const [factor, rate, correction1, correction2, decay] = g.ops('Split', [rates], RATES.length, { axis: 0 });

  // m' = m + (1 - beta1)(d - m) and v' = beta2 v + (1 - beta2) d d: torch rounds so too
  const d = mul(gradient, factor);
  const m = add(moments[0], times(sub(d, moments[0]), 1 - betas[0]));
  const v = add(times(moments[1], betas[1]), mul(times(d, 1 - betas[1]), d));

  // p' = p - rate (m / (1 - beta1^t) / (sqrt(v) / sqrt(1 - beta2^t) + epsilon) + decay p)
  const deviation = add(mul(sqrt(v), sqrt(correction2)), number(epsilon));
  const step = div(mul(m, mul(rate, correction1)), deviation);
  const shrinking = weightDecay === 0 ? [] : [mul(parameters, times(rate, weightDecay))];
  const next = sub(parameters, shrinking.reduce(add, step));

  const outputs: Record<string, Value> = { new_parameters: next, new_first_moments: m, new_second_moments: v };
  if (average) outputs.new_ema = add(average, mul(sub(next, average), sub(number(1), decay)));
  for (const [name, value] of Object.entries(outputs)) g.output(name, 'float32', [size], value);
  return g.toBytes();
}
