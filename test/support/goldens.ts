import { readFileSync } from 'node:fs';
import type { Denoiser, Tensor } from '../../src/index.ts';

interface Summary {
  readonly abssum: number | null;
  readonly first8: number[];
  readonly last4: number[];
}

/** Values that diffusers 0.40 gave with torch 2.13. */
export const goldens: {
  readonly timesteps: Record<string, number[]>;
  readonly loops: Record<string, Summary>;
  readonly sigmas: Record<string, number[]>;
  readonly respacing: Record<string, number[]>;
} = JSON.parse(readFileSync(new URL('../data/diffusers.json', import.meta.url), 'utf8'));

/** The start of every golden loop: arange(384)/384*2 - 1 in float32. */
export const goldenStart: Tensor = {
  data: Float32Array.from({ length: 384 }, (_, i) => Math.fround(Math.fround(i / 384) * 2 - 1)),
  shape: [2, 3, 8, 8],
};

/** The model of every golden loop: x * t / (t + 1). */
export const goldenDenoiser: Denoiser = (x, timesteps) => ({
  data: x.data.map((v) => Math.fround(Math.fround(v * timesteps[0]) / (timesteps[0] + 1))),
  shape: x.shape,
});

/** The largest difference between an image and what is known of the golden one. */
export function goldenError({ data }: Tensor, { abssum, first8, last4 }: Summary): number {
  const values = [...data.subarray(0, 8), ...data.subarray(-4)];
  const differences = [...first8, ...last4].map((v, i) => Math.abs(v - values[i]));
  const meanSize = data.reduce((sum, v) => sum + Math.abs(v), 0) / data.length;
  return Math.max(...differences, Math.abs(meanSize - abssum! / data.length));
}

export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= worst)) worst = difference; // NaN counts as infinitely far
  }
  return Number.isNaN(worst) ? Number.POSITIVE_INFINITY : worst;
}
