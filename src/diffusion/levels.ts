import { wrongValue } from '../core/errors.ts';
import type { Arena } from '../engine/arena.ts';
import type { Settings } from './planOptions.ts';
import { halfToEven } from './respacing.ts';
import type { Schedule } from './schedule.ts';
import { runTimesteps, timestepFamily } from './timesteps.ts';

/** Where a run goes: what the network is told at each step, and for steps in sigma the level at and after each. */
export interface Levels {
  readonly timesteps: Float64Array;
  /** One more than timesteps; none for samplers that step between training timesteps. */
  readonly sigmas: Float64Array;
  /** A pointer to what assembly/sigmas.ts looks up the timestep of a sigma in. */
  readonly lookup: number;
}

const kinds = { useKarrasSigmas: 0, useExponentialSigmas: 1, useBetaSigmas: 2, useLuLambdas: 1 } as const;
type Spacing = keyof typeof kinds;
const spacingNames = Object.keys(kinds) as Spacing[];

/** The levels of a run. Sigmas are sqrt((1 - abar)/abar), in float32 where the schedule is. */
export function runLevels(arena: Arena, schedule: Schedule, settings: Settings): Levels {
  const T = schedule.trainTimesteps;
  const single = schedule.precision === 'float32';
  const table = arena.alloc(T * 8);
  arena.wasm.trainSigmas(table, arena.allocF64(schedule.alphasCumprod), T, single);
  const timesteps = runTimesteps(arena, schedule, settings, table);
  const family = timestepFamily(settings.sampler);
  if (family !== 'solver' && family !== 'real') return { timesteps, sigmas: new Float64Array(), lookup: 0 };

  const lookup = arena.alloc(arena.wasm.lookupBytes(T));
  const continuous = settings.timestepType === 'continuous' && settings.predictionType === 'v_prediction';
  const own = settings.sampler === 'euler' && continuous;
  arena.wasm.fillLookup(lookup, table, T, single, own);
  const spacing = chosenSpacing(settings);
  const run = { arena, table, T, lookup, timesteps, settings };
  const between = family === 'solver' ? solverLevels(run, spacing, schedule) : realLevels(run, spacing, own);
  const round = single ? Math.fround : (value: number) => value;
  return { timesteps: between.timesteps.map(round), sigmas: between.sigmas.map(round), lookup };
}

interface Run {
  readonly arena: Arena;
  readonly table: number;
  readonly T: number;
  readonly lookup: number;
  readonly timesteps: Float64Array;
  readonly settings: Settings;
}
type Between = Pick<Levels, 'timesteps' | 'sigmas'>;

/** For solvers of the probability flow, whose networks are told whole timesteps. */
function solverLevels(run: Run, spacing: Spacing | undefined, { config }: Schedule): Between {
  const { settings, timesteps, arena, table, T } = run;
  const lowest = arena.f64(table, 1)[0];
  if (spacing === undefined) {
    const sigmas = sigmasAt(run);
    return { timesteps, sigmas: Float64Array.of(...sigmas, settings.finalSigmasType === 'zero' ? 0 : lowest) };
  }
  const sigmas = spaced(run, spacing, timesteps.length, arena.f64(table, T)[T - 1], lowest);
  // diffusers rounds what is even in sigma^(1/7) or lambda and cuts off the rest
  const cosine = settings.sampler === 'dpm-solver++' && config.betaSchedule === 'squaredcos_cap_v2';
  const rounds = (spacing === 'useKarrasSigmas' || spacing === 'useLuLambdas') && !cosine;
  const last = settings.sampler.startsWith('dpm') ? lowest : sigmas[sigmas.length - 1];
  return {
    timesteps: timestepsOf(run, sigmas).map(rounds ? halfToEven : Math.trunc),
    sigmas: Float64Array.of(...sigmas, settings.finalSigmasType === 'zero' ? 0 : last),
  };
}

/** For steps in sigma, whose networks are told real timesteps. */
function realLevels(run: Run, spacing: Spacing | undefined, continuous: boolean): Between {
  const { settings, timesteps, arena, table, T } = run;
  const n = timesteps.length;
  const train = arena.f64(table, T).slice();
  const logLinear = settings.sampler === 'euler' && settings.interpolationType === 'log_linear';
  const end = settings.finalSigmasType === 'zero' ? 0 : train[0];
  if (logLinear && spacing === undefined) {
    // one sigma more than timesteps, so that the run ends at that of t = 0, whatever `finalSigmasType`
    const sigmas = spaced(run, 'useExponentialSigmas', n + 1, train[T - 1], train[0]);
    return { timesteps: continuous ? timestepsOf(run, sigmas.slice(0, n)) : timesteps, sigmas };
  }
  const plain = sigmasAt(run);
  if (spacing === undefined)
    return { timesteps: continuous ? timestepsOf(run, plain) : timesteps, sigmas: Float64Array.of(...plain, end) };
  const [from, to] = logLinear ? [train[T - 1], train[0]] : [plain[0], plain[n - 1]];
  const sigmas = spaced(run, spacing, n, from, to);
  const rounds = settings.sampler.startsWith('dpm2') && spacing === 'useKarrasSigmas';
  const told = timestepsOf(run, sigmas);
  return { timesteps: rounds ? told.map(halfToEven) : told, sigmas: Float64Array.of(...sigmas, end) };
}

/** The one spacing of sigmas that was asked for. */
function chosenSpacing(settings: Settings): Spacing | undefined {
  const chosen = spacingNames.filter((name) => settings[name]);
  if (chosen.length > 1) throw wrongValue(chosen[1], `false beside ${chosen[0]}`, true);
  if (chosen.length > 0 && (settings.timesteps ?? settings.timestepRespacing) !== undefined)
    throw wrongValue('timesteps', `no "${chosen[0]}" beside it`, settings.timesteps ?? settings.timestepRespacing);
  return chosen[0];
}

function sigmasAt({ arena, table, T, timesteps }: Run): Float64Array {
  const out = arena.alloc(timesteps.length * 8);
  arena.wasm.sigmasAt(out, arena.allocF64(timesteps), timesteps.length, table, T);
  return arena.f64(out, timesteps.length).slice();
}

function spaced({ arena, settings }: Run, spacing: Spacing, n: number, from: number, to: number): Float64Array {
  const out = arena.alloc(n * 8);
  const [high, low] = [settings.sigmaMax ?? from, settings.sigmaMin ?? to];
  if (high <= low && n > 1) throw wrongValue('sigmaMin', `less than ${high}`, low);
  arena.wasm.spacedSigmas(out, kinds[spacing], n, high, low);
  return arena.f64(out, n).slice();
}

function timestepsOf({ arena, lookup }: Run, sigmas: Float64Array): Float64Array {
  const out = arena.alloc(sigmas.length * 8);
  arena.wasm.timestepsOf(out, arena.allocF64(sigmas), sigmas.length, lookup);
  return arena.f64(out, sigmas.length).slice();
}
