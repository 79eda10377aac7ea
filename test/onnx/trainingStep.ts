import { Tensor } from 'onnxruntime-node';
import { sizeOf } from '../../src/core/tensor.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { gradients } from '../../src/onnx/gradients.ts';
import { GraphBuilder, type Value } from '../../src/onnx/graph.ts';
import { Layers } from '../../src/onnx/layers.ts';
import { VectorParameters } from '../../src/onnx/parameters.ts';
import { unetForward, unetParameters } from '../../src/onnx/unet2d.ts';
import { run } from './finiteDifferences.ts';
import type { ReferenceConfig } from './reference.ts';
import { randomWeights, uniform } from './support.ts';

/** A loss in float64, of one image, and as operators; `target` has the output's shape. */
export interface Loss {
  value(output: ArrayLike<number>, target: ArrayLike<number>): number;
  build(g: GraphBuilder, output: Value, target: Value): Value;
}

/** The squared error: predictions of the noise, of the image or of the velocity differ in their target alone. */
export const squared: Loss = {
  value: (y, target) => mean(y, (v, i) => (v - target[i]) ** 2),
  build: (g, y, target) => {
    const error = g.op('Sub', [y, target]);
    return g.op('ReduceMean', [g.op('Mul', [error, error])], { keepdims: 0 });
  },
};

/**
 * Twice the divergence of two normal distributions, where the second half of the channels moves the log-variance from -3
 * to -1 (Nichol and Dhariwal 2021, equation 15); the target is the mean, and has variance exp(-2).
 */
export const learnedVariance: Loss = {
  value: (y, target) =>
    mean(y, (v, i, half, variance) => {
      if (half) return 0;
      const log = -2 + variance;
      return log + 2 + Math.exp(-2 - log) - 1 + (v - target[i]) ** 2 * Math.exp(-log);
    }),
  build: (g, y, target) => {
    const [location, variance] = g.ops('Split', [y], 2, { axis: 1 });
    const [goal] = g.ops('Split', [target], 2, { axis: 1 });
    const log = g.op('Add', [variance, g.scalar(-2)]);
    const square = g.op('Pow', [g.op('Sub', [location, goal]), g.scalar(2)]);
    const ratio = g.op('Exp', [g.op('Sub', [g.scalar(-2), log])]);
    const scaled = g.op('Div', [square, g.op('Exp', [log])]);
    const terms = g.op('Add', [g.op('Add', [log, g.scalar(1)]), g.op('Add', [ratio, scaled])]);
    return g.op('Mul', [g.op('ReduceMean', [terms], { keepdims: 0 }), g.scalar(0.5)]);
  },
};

// of one image: `half` says whether an element is of the second half of the channels, `variance` what is there
function mean(y: ArrayLike<number>, term: (v: number, i: number, half: boolean, variance: number) => number): number {
  const half = y.length / 2;
  return Array.from(y).reduce((sum, v, i) => sum + term(v, i, i >= half, y[i + half]), 0) / y.length;
}

/** How many images a step sees. */
export const BATCH = 2;

/** One training step of a network with random weights, all that went in, and the loss and its gradient. */
export async function trainingStep(raw: ReferenceConfig, loss: Loss, seed: number) {
  const random = uniform(seed);
  const numbers = (size: number) => Float32Array.from({ length: size }, () => 2 * random());
  const { config } = parseUNetConfig(JSON.parse(JSON.stringify(raw)));
  const shapes = unetParameters(config);
  const weights = randomWeights(seed);
  const [times, labels] = [
    [1, 39],
    [6, 2],
  ];
  const [h, w] = raw.sample_size;
  const x = numbers(BATCH * raw.in_channels * h * w);
  const target = numbers(BATCH * raw.out_channels * h * w);

  const g = new GraphBuilder('step');
  const size = [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
  const parameters = new VectorParameters(g, g.input('parameters', 'float32', [size]), shapes);
  const shape = [BATCH, raw.in_channels, h, w];
  const outShape = [BATCH, raw.out_channels, h, w];
  const conditional = raw.class_embed_type !== null || raw.num_class_embeds !== null;
  const inputs = {
    sample: g.input('sample', 'float32', shape),
    timestep: g.input('timestep', 'float32', [BATCH]),
    classLabels: conditional ? g.input('labels', 'int64', [BATCH]) : undefined,
  };
  const output = unetForward(new Layers(g, parameters, config), inputs).value;
  const value = loss.build(g, output, g.input('target', 'float32', outShape));
  g.output('gradient', 'float32', [size], parameters.join(gradients(g, value, parameters.values)));
  g.output('loss', 'float32', [], value);
  const vector = Float32Array.from([...shapes].flatMap(([key, shape]) => [...weights.get(key, [...shape])]));
  const results = await run(g, {
    parameters: new Tensor('float32', vector, [size]),
    sample: new Tensor('float32', x, shape),
    target: new Tensor('float32', target, outShape),
    timestep: new Tensor('float32', Float32Array.from(times), [BATCH]),
    ...(conditional ? { labels: new Tensor('int64', BigInt64Array.from(labels, BigInt), [BATCH]) } : {}),
  });

  const vectorGradient = results.gradient.data as Float32Array;
  const byName = new Map<string, Float32Array>();
  let offset = 0;
  for (const [key, shape] of shapes) {
    byName.set(key, vectorGradient.subarray(offset, offset + sizeOf(shape)));
    offset += sizeOf(shape);
  }
  return {
    ...{ x, target, times, labels, shapes, weights, random },
    ...{ loss: Number(results.loss.data[0]), gradient: vectorGradient, gradients: byName },
  };
}

/** The root of the mean square. */
export function rms(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0) / values.length);
}
