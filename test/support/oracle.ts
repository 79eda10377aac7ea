import { alphaCumprodAt, type Denoiser, type Schedule } from '../../src/index.ts';

/** For data N(m, s^2) a pixel the best noise prediction is linear in x: what any sampler must bring back. */
export function normalOracle(schedule: Schedule, m: number, s: number): Denoiser {
  return (x, timesteps) => {
    const abar = alphaCumprodAt(schedule, timesteps[0]);
    const scale = Math.sqrt(1 - abar) / (abar * s * s + 1 - abar);
    return { data: x.data.map((v) => scale * (v - Math.sqrt(abar) * m)), shape: x.shape };
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
