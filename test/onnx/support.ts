import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { StoredTensor } from '../../src/onnx/safetensors.ts';

/** The folder of reference checkpoints, beside the repository. */
export const CHECKPOINTS = join(import.meta.dirname, '../../../shared/checkpoints');

export function readJson(...path: string[]) {
  return JSON.parse(readFileSync(join(...path), 'utf8'));
}

/** Runs an ONNX file of ours on the CPU. */
export async function predict(
  model: Uint8Array,
  x: { data: Float32Array; shape: readonly number[] },
  timesteps: readonly number[],
  labels: readonly number[] | null = null,
): Promise<Float32Array> {
  const session = await InferenceSession.create(model, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  const feeds: Record<string, Tensor> = {
    sample: new Tensor('float32', x.data, [...x.shape]),
    timestep: new Tensor('float32', Float32Array.from(timesteps), [timesteps.length]),
  };
  if (labels) feeds.class_labels = new Tensor('int64', BigInt64Array.from(labels, BigInt), [labels.length]);
  const { out_sample: out } = await session.run(feeds);
  await session.release();
  return out.data as Float32Array;
}

/** The largest magnitude of some numbers. */
export function largest(values: ArrayLike<number>): number {
  return Array.prototype.reduce.call(values, (max, v) => Math.max(max as number, Math.abs(v as number)), 0) as number;
}

/** The largest difference between two lists of numbers, NaN where they cannot be compared. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return NaN;
  return largest(Array.from(a, (v, i) => v - b[i]));
}

/** Uniform numbers in [-1, 1) that depend on the seed alone (mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** Random weights that come into being when asked for: norms near one, the rest of unit gain. */
export function randomWeights(seed: number) {
  const random = uniform(seed);
  const tensors = new Map<string, StoredTensor>();
  const values = new Map<string, Float32Array>();
  const get = (name: string, shape: number[]) => {
    const known = values.get(name);
    if (known) return known;
    const size = shape.reduce((a, b) => a * b, 1);
    const gain = shape.length === 1 ? 0.3 : Math.sqrt(3 / (size / shape[0]));
    const centre = shape.length === 1 && /norm.*\.weight$/.test(name) ? 1 : 0;
    const data = Float32Array.from({ length: size }, () => centre + gain * random());
    values.set(name, data);
    tensors.set(name, { dtype: 'F32', shape, data: new Uint8Array(data.buffer) });
    return data;
  };
  return { get, tensors };
}
