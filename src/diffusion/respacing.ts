import { wrongKind, wrongValue } from '../core/errors.ts';

/**
 * The timesteps that OpenAI's `timestep_respacing` keeps of T, descending: `ddim50` takes every T/50th, and numbers
 * separated by commas take that many, evenly, from sections of equal length (Nichol and Dhariwal 2021).
 *
 * @throws RangeError where the timesteps cannot be chosen so.
 */
export function respacedTimesteps(T: number, respacing: unknown): number[] {
  if (typeof respacing !== 'string')
    throw wrongKind('timestepRespacing', 'a string such as ddim50 or 10,15,20', respacing);
  const stride = /^ddim(\d+)$/.exec(respacing);
  if (stride) return everyNth(T, Number(stride[1]));
  if (!/^\d+(,\d+)*$/.test(respacing))
    throw wrongValue('timestepRespacing', 'ddim50 or 10,15,20 or the like', respacing);
  const counts = respacing.split(',').map(Number);
  const kept = counts.flatMap((count, i) => {
    const extra = T % counts.length;
    const size = Math.floor(T / counts.length) + (i < extra ? 1 : 0);
    const start = i * Math.floor(T / counts.length) + Math.min(i, extra);
    if (count > size)
      throw wrongValue('timestepRespacing', `at most ${size} timesteps in a section of ${size}`, respacing);
    return within(start, size, count);
  });
  if (kept.length === 0) throw wrongValue('timestepRespacing', 'at least one timestep', respacing);
  return kept.reverse();
}

/** The smallest whole stride that gives the count exactly. */
function everyNth(T: number, count: number): number[] {
  for (let stride = 1; stride < T; stride++)
    if (Math.ceil(T / stride) === count) return Array.from({ length: count }, (_, i) => (count - 1 - i) * stride);
  throw wrongValue('timestepRespacing', `a count that a whole stride through ${T} timesteps gives`, `ddim${count}`);
}

/** From the first to the last timestep of a section; steps are added up and rounded half to even, as Python does. */
function within(start: number, size: number, count: number): number[] {
  const step = count > 1 ? (size - 1) / (count - 1) : 1;
  let position = 0;
  return Array.from({ length: count }, () => {
    const timestep = start + halfToEven(position);
    position += step;
    return timestep;
  });
}

export function halfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}
