// In a worker: the bundled model in ddpm-wasm and in tfjs, the same sampler and steps, in turns.
import '@tensorflow/tfjs-backend-webgl';
import '@tensorflow/tfjs-backend-webgpu';
import { setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { loadPipeline, type Pipeline, type PlanRow, type SampleOptions } from 'ddpm-wasm';
import { parseUNetConfig, readParameters } from '../../src/onnx/index.ts';
import { type TfjsUnet, tfjsUnet } from './tfjsUnet.ts';

/** What a worker is asked: ways to run the same steps, timed in turns. */
export interface Contest {
  readonly entrants: readonly Entrant[];
  readonly count: number;
  readonly steps: number;
  readonly rounds: number;
  readonly threads: number;
}

export type Entrant =
  | { readonly name: string; readonly device: 'wasm' | 'webgpu'; readonly resident?: boolean }
  | { readonly name: string; readonly backend: 'wasm' | 'webgl' | 'webgpu' };

/** What came of it: steps a second, the best of the rounds, or why an entrant does not run here. */
export interface Standing {
  readonly name: string;
  readonly stepsPerSecond?: number;
  readonly problem?: string;
}

type Run = () => Promise<Float32Array>;

const model = '/models/fashion';

self.addEventListener('message', async ({ data }: MessageEvent<Contest>) => {
  try {
    self.postMessage(await hold(data));
  } catch (error) {
    self.postMessage(String((error as Error).stack));
  }
});

async function hold({ entrants, count, steps, rounds, threads }: Contest): Promise<Standing[]> {
  const asked = { count, steps, sampler: 'ddim', eta: 0, seed: 7, guidance: 0 } as const;
  const reference = await ours({ device: 'wasm' }, threads, asked);
  const expected = await reference();
  const standings: Standing[] = [];
  const runs: { name: string; run: Run; best: number }[] = [];
  for (const { name, ...entrant } of entrants) {
    try {
      const run =
        'backend' in entrant ? await theirs(entrant.backend, threads, asked) : await ours(entrant, threads, asked);
      // nothing is timed that is wrong; this also warms up
      const apart = maxDifference(await run(), expected);
      if (!(apart < 1e-3)) throw new Error(`its images are ${apart} away`);
      runs.push({ name, run, best: Infinity });
    } catch (error) {
      standings.push({ name, problem: (error as Error).message });
    }
  }
  for (let round = 0; round < rounds; round++)
    for (const entry of runs) {
      const started = performance.now();
      await entry.run();
      entry.best = Math.min(entry.best, performance.now() - started);
    }
  return [...standings, ...runs.map(({ name, best }) => ({ name, stepsPerSecond: (1000 * steps) / best }))];
}

async function ours(options: { device: 'wasm' | 'webgpu'; resident?: boolean }, threads: number, asked: SampleOptions) {
  const pipeline = await loadPipeline(model, { ...options, threads, wasmPaths: '/ort/' });
  return async () => (await pipeline.sample(asked)).data;
}

/** The rows of our plan, by the operators of tfjs, on tensors that stay where it computes. */
async function theirs(backend: string, threads: number, asked: SampleOptions): Promise<Run> {
  setWasmPaths('/tfjs/');
  setThreadsCount(threads);
  const pipeline = await loadPipeline(model, { device: 'wasm', threads, wasmPaths: '/ort/' });
  const { rows } = pipeline.plan(asked);
  const noise = await firstNoise(pipeline, asked);
  const file = async (name: string) => (await fetch(`${model}/${name}`)).arrayBuffer();
  const { config } = parseUNetConfig(JSON.parse(new TextDecoder().decode(await file('config.json'))));
  const parameters = readParameters(new Uint8Array(await file('model.onnx')), config);
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs has no backend ${backend} here`);
  await tf.ready();
  const unet = tfjsUnet(config, parameters);
  return async () => {
    await tf.setBackend(backend);
    const x = sample(unet, rows, noise);
    const data = (await x.data()) as Float32Array;
    x.dispose();
    return data;
  };
}

function sample(unet: TfjsUnet, rows: readonly PlanRow[], { data, shape }: Awaited<ReturnType<typeof firstNoise>>) {
  return tf.tidy(() => {
    const [count, channels, height, width] = shape;
    // one channel: [N, C, H, W] and [N, H, W, C] are the same numbers
    let x = tf.tensor4d(data, [count, height, width, channels]);
    const labels = tf.tensor1d(
      Array.from({ length: count }, (_, i) => i % 10),
      'int32',
    );
    for (const row of rows)
      x = tf.tidy(() => {
        const answer = unet(x, row.timestep, labels);
        const start = tf.clipByValue(tf.add(tf.mul(x, row.a), tf.mul(answer, row.b)), -row.clip, row.clip);
        const terms = [tf.mul(x, row.x), tf.mul(answer, row.model), tf.mul(start, row.start)];
        return tf.addN(terms) as tf.Tensor4D;
      });
    return x;
  });
}

/** The noise that a run begins with. */
async function firstNoise({ engine, model, plan }: Pipeline, asked: SampleOptions) {
  const { randn } = await import('ddpm-wasm');
  if (plan(asked).initialScale !== 1 || model.shape[0] !== 1)
    throw new Error('a model of another kind than this is for');
  return randn(engine, [asked.count!, ...model.shape], { seed: asked.seed! });
}

function maxDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), a.length === b.length ? 0 : Infinity);
}
