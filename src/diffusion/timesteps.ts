import { assertInteger } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import type { TimestepSpacing } from '../core/schedulerConfig.ts';
import type { Schedule } from './schedule.ts';

const spacings: Record<TimestepSpacing, number> = { leading: 0, trailing: 1, linspace: 2 };

/**
 * The timesteps of a run of `steps` network calls, descending (ascending with `towardsNoise`), as diffusers places
 * them. Where diffusers' list leaves the table (a trailing -1, an offset past T-1) the stray entry is left out.
 */
export function spacedTimesteps(
  schedule: Schedule,
  steps: number,
  options: { spacing: TimestepSpacing; offset: number; towardsNoise: boolean },
): Float64Array {
  const T = schedule.trainTimesteps;
  assertInteger(steps, 'steps', 1, T);
  const timesteps = schedule.engine.scratch((arena) => {
    const out = arena.alloc(steps * 8);
    const count = arena.wasm.timesteps(out, spacings[options.spacing], T, steps, options.offset);
    if (options.towardsNoise) arena.wasm.reverse(out, count);
    return arena.f64(out, count).slice();
  });
  if (timesteps.length === 0) throw wrongValue('stepsOffset', `less than ${T}`, options.offset);
  return timesteps;
}

/** A list of timesteps from the caller, checked: integers in 0..T-1, strictly in the order of the run. */
export function customTimesteps(schedule: Schedule, timesteps: unknown, towardsNoise: boolean): Float64Array {
  const order = towardsNoise ? 'ascending' : 'descending';
  const last = schedule.trainTimesteps - 1;
  const expected = `strictly ${order} integers in 0..${last}`;
  if (!Array.isArray(timesteps) && !ArrayBuffer.isView(timesteps)) throw wrongKind('timesteps', expected, timesteps);
  const list = Float64Array.from(timesteps as ArrayLike<number>);
  const good = list.every((t, i) => {
    const ordered = i === 0 || (towardsNoise ? t > list[i - 1] : t < list[i - 1]);
    return ordered && Number.isInteger(t) && t >= 0 && t <= last;
  });
  if (list.length === 0 || !good) throw wrongValue('timesteps', expected, [...list]);
  return list;
}
