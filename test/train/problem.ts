import { createEngine, createSchedule } from '../../src/index.ts';
import { reduceGraph, updateGraph } from '../../src/onnx/index.ts';
import { lossGraph } from '../../src/train/index.ts';
import { rms } from '../onnx/trainingStep.ts';
import { byteImages } from '../support/evaluation.ts';
import { evaluationNoise, type Loss, lossFeeds, plainLoss, tinyNetwork } from './lossSupport.ts';
import type { Feed, Problem } from './workers.ts';

/** A small network with a learned variance, t = 0 among the timesteps; the batch in `workers` parts, the vectors in as many. */
export async function smallProblem({ workers, steps }: { workers: 1 | 2; steps: number }): Promise<Problem> {
  const engine = await createEngine();
  const schedule = createSchedule(engine, { variance_type: 'learned_range' });
  const loss: Loss = { ...plainLoss, variance: 'learned', weighting: 'min-snr' };
  const { config, shapes, vector } = tinyNetwork({ learned: true });
  const [timesteps, labels] = [
    [400, 0, 80, 999],
    [0, 1, 2, 1],
  ];
  const images = 4 / workers;
  const { bytes } = lossGraph({ network: config, loss, images, divisor: 4, trained: shapes });
  const [{ data }, noise] = [byteImages([4, 2, 8, 8]), evaluationNoise(engine, timesteps, 128, 8n)];

  const batches = Array.from({ length: workers }, (_, worker) => {
    const [begin, end] = [worker * images, (worker + 1) * images];
    const pixels = (all: Float32Array) => all.slice(128 * begin, 128 * end);
    const x0 = { data: pixels(data), shape: [images, 2, 8, 8] };
    const part = { x0, noise: pixels(noise), timesteps: timesteps.slice(begin, end), labels: labels.slice(begin, end) };
    return Object.fromEntries(
      Object.entries(lossFeeds(schedule, loss, part)).map(([name, { type, data, dims }]): [string, Feed] => [
        name,
        { type: type as Feed['type'], data: Array.from(data as Float32Array, Number), dims },
      ]),
    );
  });
  const bounds = Array.from({ length: workers + 1 }, (_, i) => Math.round((i * vector.length) / workers));
  const slices = batches.map((_, i) => {
    const [begin, end] = [bounds[i], bounds[i + 1]];
    const options = { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.01, ema: true } as const;
    const [reduce, update] = [reduceGraph(workers, end - begin), updateGraph(end - begin, options)];
    return { begin, end, reduceGraph: [...reduce], updateGraph: [...update] };
  });
  return { lossGraph: [...bytes], slices, parameters: [...vector], batches, steps, learningRate: 3e-3 };
}

/** The root mean square of the difference of two vectors, relative to that of the second. */
export function apart(found: readonly number[], expected: readonly number[]): number {
  if (found.length !== expected.length) return NaN;
  return rms(found.map((v, i) => v - expected[i])) / rms(expected);
}
