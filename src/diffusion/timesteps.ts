import { wrongKind, wrongValue } from '../core/errors.ts';
import type { Sampler, TimestepSpacing } from '../core/schedulerConfig.ts';
import type { Arena } from '../engine/arena.ts';
import type { Settings } from './planOptions.ts';
import { respacedTimesteps } from './respacing.ts';
import type { Schedule } from './schedule.ts';

/** How a sampler takes its timesteps: assembly/timesteps.ts has a function for each. */
export type TimestepFamily = 'training' | 'solver' | 'real' | 'lcm' | 'sde';

const families: Record<Sampler, TimestepFamily> = {
  ddpm: 'training',
  ddim: 'training',
  'ddim-inverse': 'training',
  pndm: 'training',
  'dpm-solver++': 'solver',
  'dpm-solver++-singlestep': 'solver',
  unipc: 'solver',
  deis: 'solver',
  euler: 'real',
  'euler-ancestral': 'real',
  heun: 'real',
  dpm2: 'real',
  'dpm2-ancestral': 'real',
  lms: 'real',
  edm: 'real',
  lcm: 'lcm',
  'euler-maruyama': 'sde',
};

export function timestepFamily(sampler: Sampler): TimestepFamily {
  return families[sampler];
}

const spacings: Record<TimestepSpacing, number> = { leading: 0, trailing: 1, linspace: 2 };

/**
 * The timesteps of a run in its order, as diffusers places them or as the caller lists them; `sigmas` points to the
 * sigma of each training timestep. Where diffusers' list leaves the table (a trailing -1, an offset past T-1) the stray
 * entry is left out.
 */
export function runTimesteps(arena: Arena, schedule: Schedule, settings: Settings, sigmas: number): Float64Array {
  const { sampler, timesteps, timestepRespacing } = settings;
  const T = schedule.trainTimesteps;
  if (timesteps !== undefined && timestepRespacing !== undefined)
    throw wrongValue('timestepRespacing', 'no "timesteps" beside it', timestepRespacing);
  const respaced = timestepRespacing === undefined ? undefined : respacedTimesteps(T, timestepRespacing);
  const towardsNoise = sampler === 'ddim-inverse';
  const listed = timesteps ?? (towardsNoise ? respaced?.reverse() : respaced);
  if (listed === undefined) return spacedTimesteps(arena, schedule, settings, sigmas);
  if (sampler === 'pndm')
    throw wrongValue(timesteps ? 'timesteps' : 'timestepRespacing', 'none for pndm, whose steps are all equal', listed);
  const real = ['real', 'solver', 'sde'].includes(families[sampler]);
  return listedTimesteps(schedule, listed, { towardsNoise, real });
}

function spacedTimesteps(arena: Arena, schedule: Schedule, settings: Settings, sigmas: number): Float64Array {
  const { sampler, steps, timestepSpacing, stepsOffset: offset } = settings;
  const { wasm } = arena;
  const T = schedule.trainTimesteps;
  const spacing = spacings[timestepSpacing];
  const out = arena.alloc(steps * 8);
  let count: number;
  switch (families[sampler]) {
    case 'solver': {
      // lambda = -log(sigma) falls with t
      const clipped = arena.f64(sigmas, T).filter((sigma) => -Math.log(sigma) < settings.lambdaMinClipped).length;
      if (clipped === T)
        throw wrongValue('lambdaMinClipped', 'a value that leaves timesteps', settings.lambdaMinClipped);
      count = wasm.solverTimesteps(out, spacing, T, steps, offset, T - clipped);
      break;
    }
    case 'real':
      count = wasm.realTimesteps(out, spacing, T, steps, offset, schedule.precision === 'float32');
      break;
    case 'lcm':
      if (steps > settings.originalInferenceSteps)
        throw wrongValue('steps', `at most "originalInferenceSteps", ${settings.originalInferenceSteps}`, steps);
      count = wasm.lcmTimesteps(out, T, steps, settings.originalInferenceSteps);
      break;
    case 'sde':
      count = wasm.sdeTimesteps(out, T, steps);
      break;
    case 'training':
      count = wasm.timesteps(out, spacing, T, steps, offset);
      if (sampler === 'ddim-inverse') wasm.reverse(out, count);
  }
  if (count === 0) throw wrongValue('stepsOffset', `less than ${T}`, offset);
  return arena.f64(out, count).slice();
}

/** A list of timesteps from the caller, checked: within 0..T-1 and strictly in the order of the run. */
function listedTimesteps(
  schedule: Schedule,
  timesteps: unknown,
  { towardsNoise, real }: { towardsNoise: boolean; real: boolean },
): Float64Array {
  const order = towardsNoise ? 'ascending' : 'descending';
  const last = schedule.trainTimesteps - 1;
  const expected = `strictly ${order} ${real ? 'numbers' : 'integers'} in 0..${last}`;
  if (!Array.isArray(timesteps) && !ArrayBuffer.isView(timesteps)) throw wrongKind('timesteps', expected, timesteps);
  const list = Float64Array.from(timesteps as ArrayLike<number>);
  const good = list.every((t, i) => {
    const ordered = i === 0 || (towardsNoise ? t > list[i - 1] : t < list[i - 1]);
    return ordered && (real || Number.isInteger(t)) && t >= 0 && t <= last;
  });
  if (list.length === 0 || !good) throw wrongValue('timesteps', expected, [...list]);
  return list;
}
