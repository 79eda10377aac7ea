import { RunningMean } from '../../src/evaluate/estimates.ts';
import type { Denoiser, Tensor } from '../../src/index.ts';

/** 8-bit images, byte/127.5 - 1 in float32: (37 i) % 256 in the order of memory. */
export function byteImages(shape: readonly number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: size }, (_, i) => Math.fround(((i * 37) % 256) / 127.5) - 1);
  return { data, shape };
}

/** The model of the golden bounds: eps = x*t/(t+1), each image at its own t. */
export const timedDenoiser: Denoiser = (x, timesteps) => {
  const pixels = x.data.length / timesteps.length;
  const data = x.data.map((v, i) => {
    const t = timesteps[Math.floor(i / pixels)];
    return Math.fround(Math.fround(v * t) / (t + 1));
  });
  return { data, shape: x.shape };
};

/** The same with a second half of channels that all say `variance`. */
export function withVariance(denoiser: Denoiser, variance: number): Denoiser {
  return async (x, timesteps) => {
    const { data } = await denoiser(x, timesteps);
    const [count, channels, ...plane] = x.shape;
    const pixels = data.length / count;
    const both = new Float32Array(2 * data.length).fill(variance);
    for (let i = 0; i < count; i++) both.set(data.subarray(i * pixels, (i + 1) * pixels), 2 * i * pixels);
    return { data: both, shape: [count, 2 * channels, ...plane] };
  };
}

/** Mean and standard error of values. */
export function meanOf(values: Iterable<number>): { mean: number; standardError: number } {
  const running = new RunningMean();
  for (const value of values) running.add(value);
  return running.estimate;
}

/** Column j of values [rows, columns]. */
export function column(values: ArrayLike<number>, columns: number, j: number): number[] {
  return Array.from(values).filter((_, place) => place % columns === j);
}

/** Images k of a tensor, begin..end-1. */
export function slice({ data, shape }: Tensor, begin: number, end: number): Tensor {
  const pixels = data.length / shape[0];
  return { data: data.slice(begin * pixels, end * pixels), shape: [end - begin, ...shape.slice(1)] };
}
