// What a training step costs, one thread, for networks of 28x28 grey images: the loss graph and AdamW's, against the
// forward pass alone, in time of the processor.
//   npx tsx bench/trainingStep.ts
import { pathToFileURL } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { createEngine, createSchedule } from '../src/index.ts';
import {
  GraphBuilder,
  Layers,
  parseUNetConfig,
  RATES,
  type UNetConfig,
  unetForward,
  unetParameters,
  updateGraph,
  VectorParameters,
} from '../src/onnx/index.ts';
import { COEFFICIENTS, coefficientsOf, lossGraph, parseTrainingConfig } from '../src/train/index.ts';
import { randomWeights, uniform } from '../test/onnx/support.ts';
import { type Figure, printFigures } from './figure.ts';

const BATCH = 64;
const options = { intraOpNumThreads: 1, logSeverityLevel: 3 } as const;

// by the channels of each level, A where there is attention too; the last sees squares of four pixels as one of four channels
const networks = ['32 64A 64A', '32 64 128A', '32 64 96A', '64 128A, unshuffled'];

/** The times of a forward pass and of a training step of each network, and what one is of the other. */
export async function trainingStepFigures(): Promise<Figure[]> {
  const figures = [];
  for (const name of networks) figures.push(...(await networkFigures(name)));
  return figures;
}

async function networkFigures(name: string): Promise<Figure[]> {
  const config = configOf(name);
  const { vector, forward, step, loss } = await open(config);
  // the step's gradient says how fast the loss falls along it
  const [before, gradient] = await loss(vector);
  const norm2 = gradient.reduce((sum, v) => sum + v * v, 0);
  const rate = (0.01 * before) / norm2;
  const [after] = await loss(vector.map((v, i) => v - rate * gradient[i]));
  const fallen = (before - after) / (rate * norm2);
  if (!(Math.abs(fallen - 1) < 0.2)) throw new Error(`the loss ${before} fell to ${after}: ${fallen} of what was told`);

  const [forwardTime, stepTime] = await fastest([forward, step]);
  const millions = (vector.length / 1e6).toFixed(2);
  return [
    { name: `${name} (${millions} M parameters): training images`, value: (1000 * BATCH) / stepTime, unit: 'a second' },
    { name: `${name}: step against forward pass`, value: stepTime / forwardTime, unit: 'x', target: '<= 3.4' },
  ];
}

function configOf(name: string): UNetConfig {
  const levels = name.split(',')[0].split(' ');
  const attends = levels.map((level) => level.endsWith('A'));
  const channels = name.endsWith('unshuffled') ? 4 : 1;
  const blocks = (direction: string) => attends.map((attention) => `${attention ? 'Attn' : ''}${direction}Block2D`);
  return parseUNetConfig({
    ...{ sample_size: 28 / Math.sqrt(channels), in_channels: channels, out_channels: channels, layers_per_block: 1 },
    ...{ block_out_channels: levels.map((level) => Number.parseInt(level, 10)), norm_num_groups: 8 },
    ...{ down_block_types: blocks('Down'), up_block_types: blocks('Up').reverse(), attention_head_dim: 32 },
  }).config;
}

/** The sessions of a network with random weights, and calls of them on random images. */
async function open(config: UNetConfig) {
  const trained = unetParameters(config);
  const weights = randomWeights(1);
  const vector = Float32Array.from([...trained].flatMap(([key, shape]) => [...weights.get(key, [...shape])]));
  const size = vector.length;
  const random = uniform(1);
  const floats = (data: Float32Array, dims: readonly number[] = [data.length]) =>
    new Tensor('float32', data, [...dims]);
  const shape = [BATCH, config.inChannels, ...config.sampleSize!];
  const numbers = () =>
    floats(
      Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 1.7 * random()),
      shape,
    );
  const timesteps = Array.from({ length: BATCH }, (_, i) => Math.floor((i * 1000) / BATCH));
  const images = { images: numbers(), noise: numbers(), timestep: floats(Float32Array.from(timesteps)) };

  const {
    config: { loss: kind },
  } = parseTrainingConfig({ model: { sample_size: 28, channels: 1 } });
  const table = coefficientsOf(createSchedule(await createEngine(), {}), kind);
  const rows = timesteps.flatMap((t) => [...table.subarray(t * COEFFICIENTS.length, (t + 1) * COEFFICIENTS.length)]);
  const coefficients = floats(Float32Array.from(rows), [BATCH, COEFFICIENTS.length]);
  const { bytes } = lossGraph({ network: config, loss: kind, images: BATCH, divisor: BATCH, trained });
  const lossSession = await InferenceSession.create(bytes, options);
  const adam = { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0, ema: true } as const;
  const updateSession = await InferenceSession.create(updateGraph(size, adam), options);
  const forwardSession = await InferenceSession.create(forwardGraph(config, size), options);

  const loss = async (parameters: Float32Array) => {
    const vectors = { parameters: floats(parameters), gradient_before: floats(new Float32Array(size)) };
    const results = await lossSession.run({ ...images, ...vectors, coefficients });
    return [Number(results.loss.data[0]), results.gradient.data as Float32Array] as const;
  };
  const state = {
    parameters: floats(vector),
    ema: floats(vector),
    rates: floats(new Float32Array(RATES.length).fill(1)),
  };
  const moments = { first_moments: floats(new Float32Array(size)), second_moments: floats(new Float32Array(size)) };
  const step = async () => {
    const [, gradient] = await loss(vector);
    await updateSession.run({ ...state, ...moments, gradient: floats(gradient) });
  };
  const { timestep } = images;
  const forward = () => forwardSession.run({ sample: images.images, timestep, parameters: state.parameters });
  return { vector, loss, step, forward };
}

/** The network alone, with the parameters as an input as a step has them. */
function forwardGraph(config: UNetConfig, size: number): Uint8Array {
  const g = new GraphBuilder('forward');
  const parameters = new VectorParameters(g, g.input('parameters', 'float32', [size]), unetParameters(config));
  const shape = [BATCH, config.inChannels, ...config.sampleSize!];
  const inputs = { sample: g.input('sample', 'float32', shape), timestep: g.input('timestep', 'float32', [BATCH]) };
  g.output('prediction', 'float32', shape, unetForward(new Layers(g, parameters, config), inputs).value);
  return g.toBytes();
}

/** Milliseconds of the processor that one call of each takes, the least over alternating calls: others may be at work. */
async function fastest(runs: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  const least = runs.map(() => Infinity);
  for (let round = 0; round < 5; round++) {
    for (const [i, run] of runs.entries()) {
      const begun = process.cpuUsage();
      await run();
      const { user, system } = process.cpuUsage(begun);
      least[i] = Math.min(least[i], (user + system) / 1000);
    }
  }
  return least;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) printFigures(await trainingStepFigures());
