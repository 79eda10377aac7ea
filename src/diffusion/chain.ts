import { respacedTimesteps } from './respacing.ts';
import { type Schedule, scheduleOfBetas } from './schedule.ts';

/**
 * The steps of a bound: those of a schedule, or between some of its timesteps.
 *
 * A bound needs the posterior of its very chain, and near t = 0 float32 tables are those of a chain only to three digits.
 * So the chain is that of the schedule's betas with all else in float64; a float32 abar is within 1e-7 of that.
 */
export interface Chain {
  /** The tables of the steps, t from 0, in float64. */
  readonly schedule: Schedule;
  /** What the network is told at each step; ascending. */
  readonly timesteps: ArrayLike<number>;
}

/** All of a schedule's steps, or those that OpenAI's `timestepRespacing` keeps. */
export function chainOf(schedule: Schedule, timestepRespacing?: string): Chain {
  if (timestepRespacing !== undefined)
    return chainBetween(schedule, respacedTimesteps(schedule.trainTimesteps, timestepRespacing).reverse());
  return { schedule: inFloat64(schedule), timesteps: Int32Array.from(schedule.betas, (_, t) => t) };
}

/** The steps between some timesteps of a schedule, which ascend: beta of a step is 1 - abar_t / abar_s. */
export function chainBetween(schedule: Schedule, timesteps: ArrayLike<number>): Chain {
  if (timesteps.length === schedule.trainTimesteps) return chainOf(schedule);
  const { alphasCumprod } = inFloat64(schedule);
  const betas = Array.from(timesteps, (t, i) => 1 - alphasCumprod[t] / (i > 0 ? alphasCumprod[timesteps[i - 1]] : 1));
  return { schedule: scheduleOfBetas(schedule, betas), timesteps };
}

function inFloat64(schedule: Schedule): Schedule {
  return schedule.precision === 'float64' ? schedule : scheduleOfBetas(schedule, schedule.betas);
}
