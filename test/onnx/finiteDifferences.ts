import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sizeOf } from '../../src/core/tensor.ts';
import { gradients } from '../../src/onnx/gradients.ts';
import { GraphBuilder, type Value } from '../../src/onnx/graph.ts';
import { Shapes } from '../../src/onnx/shapes.ts';
import { uniform } from './support.ts';

/** A differentiable operator, or several: float inputs by their shapes, and the value made of them. */
export interface Case {
  readonly shapes: readonly (readonly number[])[];
  readonly build: (g: GraphBuilder, inputs: readonly Value[]) => Value;
  /** The inputs' values: uniform in [-1, 1) by default; `random` gives such numbers. */
  readonly value?: (random: () => number, input: number) => number;
  /** The step: 0.05 by default, whose error of the fourth order is under float32's own. */
  readonly h?: number;
  readonly seed?: number;
}

/**
 * The largest error of a case's gradients against finite differences of fourth order, relative to the rms of each
 * gradient. The loss is a random linear function of the result, summed in float64, so that only the operators round.
 */
export async function gradientError({ shapes, build, value = (random) => random(), h = 0.05, seed = 1 }: Case) {
  const random = uniform(seed);
  const inputs = shapes.map((shape, i) => Float32Array.from({ length: sizeOf(shape) }, () => value(random, i)));

  const forward = new GraphBuilder('forward');
  const y = build(forward, declare(forward, shapes));
  const dims = new Shapes(forward).dims(y);
  forward.output('y', 'float32', dims, forward.op('Reshape', [y, forward.intVector(dims)]));
  const upstream = Float32Array.from({ length: sizeOf(dims) }, random);
  const backward = gradientGraph({ shapes, build }, upstream);

  const feeds = Object.fromEntries(shapes.map((shape, i) => [`x${i}`, new Tensor('float32', inputs[i], [...shape])]));
  const analytic = await run(backward, feeds);
  const session = await InferenceSession.create(forward.toBytes(), options);
  const loss = async () => {
    const { y } = await session.run(feeds);
    if (y.dims.join() !== dims.join()) throw new Error(`shape ${y.dims} was told as ${dims}`);
    return (y.data as Float32Array).reduce((sum, v, i) => sum + v * upstream[i], 0);
  };
  let worst = 0;
  for (const [i, input] of inputs.entries()) {
    const gradient = analytic[`d${i}`].data as Float32Array;
    const differences: number[] = [];
    for (const [j, centre] of input.entries()) {
      const at = async (offset: number) => {
        input[j] = centre + offset;
        const result = await loss();
        input[j] = centre;
        return result;
      };
      differences.push((8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h));
    }
    worst = Math.max(worst, relativeError(gradient, differences));
  }
  await session.release();
  return worst;
}

/** The largest difference, over the rms of `expected`; NaN for lists that cannot be compared. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return NaN;
  const all = Array.from(expected);
  const rms = Math.sqrt(all.reduce((sum, v) => sum + v * v, 0) / all.length);
  const worst = all.reduce((max, v, i) => (Math.abs(actual[i] - v) <= max ? max : Math.abs(actual[i] - v)), 0);
  return worst === 0 ? 0 : worst / rms;
}

/** Runs a graph once on the CPU. */
export async function run(g: GraphBuilder, feeds: Record<string, Tensor>) {
  const session = await InferenceSession.create(g.toBytes(), options);
  const results = await session.run(feeds);
  await session.release();
  return results;
}

/** The graph of a case's gradients d0, d1, ... for a random linear function of its result. */
export function gradientGraph({ shapes, build }: Case, upstream: Float32Array): GraphBuilder {
  const g = new GraphBuilder('backward');
  const inputs = declare(g, shapes);
  const y = build(g, inputs);
  const weighted = g.op('Mul', [y, g.floats('upstream', new Shapes(g).dims(y), upstream)]);
  const results = gradients(g, g.op('ReduceSum', [weighted], { keepdims: 0 }), inputs);
  for (const [i, result] of results.entries()) g.output(`d${i}`, 'float32', shapes[i], result);
  return g;
}

const options = { logSeverityLevel: 3, intraOpNumThreads: 1 } as const;

function declare(g: GraphBuilder, shapes: readonly (readonly number[])[]): Value[] {
  return shapes.map((shape, i) => g.input(`x${i}`, 'float32', shape));
}
