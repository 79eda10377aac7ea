import { alphaCumprodAt, type Denoiser, type Engine, randn, type Schedule, type Tensor } from '../../src/index.ts';

/** For data N(m, s^2) a pixel the best noise prediction is linear in x: what any sampler must bring back. */
export function normalOracle(schedule: Schedule, m: number, s: number): Denoiser {
  return (x, timesteps) => {
    const lines = Array.from(timesteps, (t) => {
      const abar = alphaCumprodAt(schedule, t);
      return { center: Math.sqrt(abar) * m, scale: Math.sqrt(1 - abar) / (abar * s * s + 1 - abar) };
    });
    const pixels = x.data.length / timesteps.length;
    const data = x.data.map((v, i) => {
      const { center, scale } = lines[Math.floor(i / pixels)];
      return scale * (v - center);
    });
    return { data, shape: x.shape };
  };
}

export function moments(values: ArrayLike<number>): { mean: number; variance: number } {
  const list = Array.from(values);
  const mean = list.reduce((sum, v) => sum + v, 0) / list.length;
  return { mean, variance: list.reduce((sum, v) => sum + (v - mean) ** 2, 0) / list.length };
}

/** Mean absolute difference, in grey levels of 0 to 255. */
export function greyLevels(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return (127.5 * Array.from(a).reduce((sum, v, i) => sum + Math.abs(v - b[i]), 0)) / a.length;
}

/** Images whose pixels are drawn from N(m, s^2), none of them near the edges of [-1, 1]. */
export function normalImages(
  engine: Engine,
  shape: readonly number[],
  { m, s, seed }: { m: number; s: number; seed: number },
): Tensor {
  const noise = randn(engine, shape, { seed });
  return { data: noise.data.map((z) => m + s * z), shape };
}
