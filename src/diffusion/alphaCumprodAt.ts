import type { Schedule } from './schedule.ts';

/**
 * abar at a real timestep: the schedule's at whole ones; between them the logarithm of the signal-to-noise ratio is
 * interpolated, which is where samplers over sigma place the timesteps that they tell the network.
 */
export function alphaCumprodAt(schedule: Schedule, timestep: number): number {
  const { alphasCumprod, logSnr, trainTimesteps } = schedule;
  const t = Math.min(Math.max(timestep, 0), trainTimesteps - 1);
  const [below, above] = [Math.floor(t), Math.ceil(t)];
  if (below === above) return alphasCumprod[t];
  const along = t - below;
  return 1 / (1 + Math.exp(-(logSnr[below] * (1 - along) + logSnr[above] * along)));
}
