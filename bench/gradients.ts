// What a training step costs against the forward pass alone, one thread: the network's prediction, its squared error
// and the gradients of all parameters, laid out as one vector.
//   npx tsx bench/gradients.ts
import { pathToFileURL } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sizeOf } from '../src/core/tensor.ts';
import { parseUNetConfig } from '../src/core/unetConfig.ts';
import { GraphBuilder, gradients, Layers, unetForward, unetParameters, VectorParameters } from '../src/onnx/index.ts';
import { randomWeights, uniform } from '../test/onnx/support.ts';
import { type Figure, printFigures } from './figure.ts';

const BATCH = 32;
const SHAPE = [BATCH, 1, 28, 28];

const { config } = parseUNetConfig({
  ...{ sample_size: 28, in_channels: 1, out_channels: 1, block_out_channels: [32, 64, 64], layers_per_block: 1 },
  ...{ down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'], norm_num_groups: 8 },
  ...{ up_block_types: ['AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'], attention_head_dim: 32 },
});

/** The time of a forward pass and of a training step, and what one is of the other. */
export async function gradientFigures(): Promise<Figure[]> {
  const [forward, step] = [await open(false), await open(true)];
  // the step's loss is that of the forward pass, and falls along its gradient as fast as the gradient says
  const [before] = await forward.run(forward.vector);
  const [loss, gradient] = await step.run(forward.vector);
  const norm2 = gradient.reduce((sum, v) => sum + v * v, 0);
  const rate = (0.01 * loss[0]) / norm2;
  const [after] = await forward.run(forward.vector.map((v, i) => v - rate * gradient[i]));
  const fallen = (before[0] - after[0]) / (rate * norm2);
  if (!(Math.abs(loss[0] - before[0]) < 1e-5 * loss[0] && Math.abs(fallen - 1) < 0.2)) {
    throw new Error(`the loss ${before} fell to ${after}: ${fallen} of what its gradient says`);
  }

  const [forwardTime, stepTime] = await fastest([() => forward.run(forward.vector), () => step.run(forward.vector)]);
  return [
    { name: `forward pass, ${forward.vector.length} parameters, batch ${BATCH}`, value: forwardTime, unit: 'ms' },
    { name: 'forward and backward pass', value: stepTime, unit: 'ms' },
    { name: 'forward and backward against forward', value: stepTime / forwardTime, unit: 'x', target: '<= 3.4' },
    { name: 'training images', value: (1000 * BATCH) / stepTime, unit: 'a second' },
  ];
}

async function open(backward: boolean) {
  const g = new GraphBuilder('step');
  const shapes = unetParameters(config);
  const size = [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
  const parameters = new VectorParameters(g, g.input('parameters', 'float32', [size]), shapes);
  const inputs = { sample: g.input('sample', 'float32', SHAPE), timestep: g.input('timestep', 'float32', [BATCH]) };
  const prediction = unetForward(new Layers(g, parameters, config), inputs).value;
  const error = g.op('Sub', [prediction, g.input('noise', 'float32', SHAPE)]);
  const loss = g.op('ReduceMean', [g.op('Mul', [error, error])], { keepdims: 0 });
  if (backward) {
    const gradient = parameters.join(gradients(g, loss, parameters.values));
    g.output('gradient', 'float32', [size], gradient);
  }
  g.output('loss', 'float32', [], loss);

  const random = uniform(1);
  const noise = (shape: readonly number[]) =>
    new Tensor(
      'float32',
      Float32Array.from({ length: sizeOf(shape) }, () => 1.7 * random()),
      shape,
    );
  const timestep = new Tensor(
    'float32',
    Float32Array.from({ length: BATCH }, (_, i) => (i * 1000) / BATCH),
    [BATCH],
  );
  const feeds = { sample: noise(SHAPE), noise: noise(SHAPE), timestep };
  const weights = randomWeights(1);
  const vector = Float32Array.from([...shapes].flatMap(([key, shape]) => [...weights.get(key, [...shape])]));

  const session = await InferenceSession.create(g.toBytes(), { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const run = async (values: Float32Array) => {
    const result = await session.run({ ...feeds, parameters: new Tensor('float32', values, [size]) });
    return ['loss', 'gradient'].map((name) => (result[name]?.data ?? []) as Float32Array);
  };
  return { run, vector };
}

/** Milliseconds of one call of each, the least over alternating calls. */
async function fastest(runs: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  const least = runs.map(() => Infinity);
  for (let round = 0; round < 10; round++) {
    for (const [i, run] of runs.entries()) {
      const begun = performance.now();
      await run();
      least[i] = Math.min(least[i], performance.now() - begun);
    }
  }
  return least;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) printFigures(await gradientFigures());
