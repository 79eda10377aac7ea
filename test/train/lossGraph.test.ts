import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  createEngine,
  createSchedule,
  type Denoiser,
  type Engine,
  type Schedule,
  simpleLoss,
  trainingLosses,
  variationalBound,
} from '../../src/index.ts';
import { buildUNet } from '../../src/onnx/index.ts';
import { COEFFICIENTS, lossGraph } from '../../src/train/index.ts';
import { byteImages } from '../support/evaluation.ts';
import {
  evaluationNoise,
  type Loss,
  lossFeeds,
  openLoss,
  plainLoss,
  type TinyNetwork,
  tinyNetwork,
} from './lossSupport.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

const timesteps = [0, 1, 60, 500, 999];
const labels = [0, 1, 2, 1, 0];
const x0 = byteImages([5, 2, 8, 8]);
const predictions = ['epsilon', 'sample', 'v_prediction'] as const;

function scheduleOf(loss: Loss, options: { precision?: 'float64'; steps?: number } = {}): Schedule {
  const { prediction, variance } = loss;
  const json = {
    ...{ beta_schedule: 'linear', prediction_type: prediction, num_train_timesteps: options.steps ?? 1000 },
    variance_type: variance === 'learned' ? 'learned_range' : 'fixed_small',
  };
  return createSchedule(engine, json, { precision: options.precision });
}

/** The same network as a denoiser of its own session. */
async function denoiserOf({ config, weights }: TinyNetwork): Promise<Denoiser> {
  const session = await InferenceSession.create(buildUNet(config, weights.tensors).bytes, { logSeverityLevel: 3 });
  return async (x, timesteps, condition) => {
    const [count, , ...plane] = x.shape;
    const labels = condition?.classLabels && BigInt64Array.from(condition.classLabels, BigInt);
    const { out_sample: out } = await session.run({
      sample: new Tensor('float32', x.data, [...x.shape]),
      timestep: new Tensor('float32', timesteps, [count]),
      ...(labels && { class_labels: new Tensor('int64', labels, [count]) }),
    });
    return { data: out.data as Float32Array, shape: [count, config.outChannels, ...plane] };
  };
}

const mean = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b) / values.length;
const off = (found: number, expected: number) => Math.abs(found / expected - 1);
const noiseOf = (steps: readonly number[]) => evaluationNoise(engine, steps, 128, 3n);
const evaluation = { timesteps, seed: 3, condition: { classLabels: labels } };

describe.each(predictions)('the loss of a network that predicts %s', (prediction) => {
  test('with a fixed variance is that of trainingLosses, image by image, within 1e-6', async () => {
    const loss = { ...plainLoss, prediction };
    const [schedule, network] = [scheduleOf(loss, { precision: 'float64' }), tinyNetwork()];
    const { config, shapes, vector } = network;
    const { run, inputs } = await openLoss({ network: config, loss, images: 5, divisor: 10, trained: shapes });
    expect(inputs).toContain('class_labels');
    const found = await run(vector, lossFeeds(schedule, loss, { x0, noise: noiseOf(timesteps), timesteps, labels }));
    const { mse } = await trainingLosses(schedule, await denoiserOf(network), x0, evaluation);
    for (const [i, error] of mse.entries()) expect(off(found.errors[i], error)).toBeLessThan(1e-6);
    expect(off(found.loss, mean(mse) / 2)).toBeLessThan(1e-6);
  });

  test('with weights is the weighted error of simpleLoss, diffusers’ float32 schedule, within 1e-6', async () => {
    const network = tinyNetwork({ classes: null });
    const { config, shapes, vector } = network;
    const plain = { ...plainLoss, prediction };
    const { run, inputs } = await openLoss({ network: config, loss: plain, images: 1, divisor: 1, trained: shapes });
    expect(inputs).not.toContain('class_labels');
    const schedule = scheduleOf(plain);
    const [image, denoiser] = [byteImages([1, 2, 8, 8]), await denoiserOf(network)];
    for (const t of timesteps) {
      const trial = { x0: image, noise: noiseOf([t]), timesteps: [t] };
      const { weights, noise } = await simpleLoss(schedule, denoiser, image, { timesteps: [t], seed: 3, gamma: 5 });
      const snr = schedule.alphasCumprod[t] / (1 - schedule.alphasCumprod[t]);
      for (const [loss, weight] of [
        [{ ...plain, weighting: 'min-snr' }, weights[0]],
        [{ ...plain, weighting: 'p2', gamma: 0.5, k: 2 }, 1 / Math.sqrt(2 + snr)],
      ] as const)
        expect(off((await run(vector, lossFeeds(schedule, loss, trial))).loss, weight * noise[0])).toBeLessThan(1e-6);
    }
  });

  test('with a learned variance is the hybrid loss of trainingLosses, t = 0 included, within 1e-6', async () => {
    const loss = { ...plainLoss, prediction, variance: 'learned' } as const;
    const [schedule, network] = [scheduleOf(loss, { precision: 'float64' }), tinyNetwork({ learned: true })];
    const { config, shapes, vector } = network;
    const { run } = await openLoss({ network: config, loss, images: 1, divisor: 1, trained: shapes });
    const expected = await trainingLosses(schedule, await denoiserOf(network), x0, evaluation);
    const noise = noiseOf(timesteps);
    for (const [i, t] of timesteps.entries()) {
      const part = (data: Float32Array) => data.slice(i * 128, i * 128 + 128);
      const image = { data: part(x0.data), shape: [1, 2, 8, 8] };
      const feeds = lossFeeds(schedule, loss, { x0: image, noise: part(noise), timesteps: [t], labels: [labels[i]] });
      const whole = await run(vector, feeds);
      // and the bound's term by itself, next to which the squared error is large
      const weightless = feeds.coefficients.data.map((v, i) => (i === COEFFICIENTS.indexOf('weight') ? 0 : v));
      const coefficients = new Tensor('float32', weightless as Float32Array, feeds.coefficients.dims);
      const bound = await run(vector, { ...feeds, coefficients });
      expect(off(whole.errors[0], expected.mse[i])).toBeLessThan(1e-6);
      expect(off(whole.loss, expected.loss[i])).toBeLessThan(1e-6);
      // float32 has no more of a term that is next to nothing
      expect(Math.abs(bound.loss - expected.vb[i])).toBeLessThan(1e-6 * expected.vb[i] + 1e-9);
    }
  });
});

test('over all timesteps of a short schedule the bound’s terms add up to variationalBound’s, within 1e-6', async () => {
  const steps = 12;
  const loss = { ...plainLoss, variance: 'learned', varianceWeight: 1 / steps } as const;
  const [schedule, network] = [scheduleOf(loss, { steps }), tinyNetwork({ learned: true, classes: null })];
  const { config, shapes, vector } = network;
  const image = byteImages([1, 2, 8, 8]);
  const bound = await variationalBound(schedule, await denoiserOf(network), image, { seed: 3, clipStart: false });

  const all = Array.from({ length: steps }, (_, t) => t);
  const { run } = await openLoss({ network: config, loss, images: steps, divisor: 1, trained: shapes });
  const images = { data: Float32Array.from(all.flatMap(() => [...image.data])), shape: [steps, 2, 8, 8] };
  // the same image each time, and its noise of each timestep
  const noise = Float32Array.from(all.flatMap((t) => [...noiseOf([t])]));
  const feeds = lossFeeds(schedule, loss, { x0: images, noise, timesteps: all });
  const { loss: total, errors } = await run(vector, feeds);
  const sum = errors.reduce((a, b) => a + b, 0);
  expect(off(total - sum, bound.total[0] - bound.prior[0])).toBeLessThan(1e-6);
});

test('names what a loss cannot be made of', () => {
  const { config: network, shapes: trained } = tinyNetwork();
  const options = { network, loss: plainLoss, images: 2, divisor: 2, trained };
  const refused = (changes: object) => () => lossGraph({ ...options, ...changes });
  expect(refused({ images: 0 })).toThrow('"images" expected an integer in 1..65536, got 0');
  expect(refused({ divisor: 0 })).toThrow('"divisor" expected a number of at least 1, got 0');
  expect(refused({ trained: new Map() })).toThrow('"trained" expected at least one parameter, got "none"');
  expect(refused({ loss: { ...plainLoss, variance: 'learned' } })).toThrow(
    '"network.outChannels" expected 4, for a learned variance, got 2',
  );
  expect(refused({ network: { ...network, sampleSize: null } })).toThrow('"network.sampleSize" expected an image size');
  expect(refused({ trained: new Map([['conv_in.bias', [8]]]) })).toThrow(
    'time_embedding.linear_1.weight" expected shape [32, 8], got no such',
  );
});
