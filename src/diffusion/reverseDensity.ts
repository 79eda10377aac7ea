import { assertKeys } from '../core/assert.ts';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { wrongKind } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { Answers } from './answers.ts';
import { type Chain, chainBetween } from './chain.ts';
import { assertReverseOptions, assertSignal } from './reverse.ts';
import { type ReverseOptions, type ReverseSettings, ReverseStep, reverseKeys, reverseSettings } from './reverseStep.ts';
import type { Schedule } from './schedule.ts';
import { assertAscending, type TrajectoryStep } from './trajectory.ts';

/** The states to find the density of. */
export interface ReverseDensityOptions extends ReverseOptions {
  /** x_1..x_T as `forwardTrajectory` yields them, timesteps ascending; those left out shorten the chain. */
  readonly trajectory: Iterable<Pick<TrajectoryStep, 'timestep' | 'x'>>;
  /** Passed on to the denoiser, one entry an image. */
  readonly condition?: Condition;
  /** Cancels between network calls. */
  readonly signal?: AbortSignal;
}

/** Log-densities in nats; `total` = `prior` + the sum of an image's terms. */
export interface ReverseDensity {
  readonly total: Float64Array;
  /** log N(x_T; 0, I). */
  readonly prior: Float64Array;
  /** log p(x_{t-1} given x_t), [images, timesteps]: in the order of the trajectory, so that x_0's comes first. */
  readonly terms: Float64Array;
  readonly timesteps: Int32Array;
}

/**
 * The log-density of the reverse joint p(x_0..x_T) = p(x_T) prod p(x_{t-1} given x_t) (Ho et al. 2020, eq. 1) at a given
 * trajectory. All factors are densities, also that of x_0, whose Gaussian has the variance of `reverseMoments` at t = 0.
 *
 * The mean of `total` less the forward joint's log-density over trajectories of an image bounds log p(x_0) from below.
 *
 * @param x0 Images [count, channels, ...].
 * @throws TypeError or RangeError naming the argument; DdpmError `network-failed` naming the timestep.
 */
export async function reverseLogDensity(
  schedule: Schedule,
  denoiser: Denoiser,
  x0: Tensor,
  options: ReverseDensityOptions,
): Promise<ReverseDensity> {
  if (typeof denoiser !== 'function') throw wrongKind('denoiser', 'a function', denoiser);
  assertReverseOptions(options);
  assertKeys(options, 'reverseLogDensity', ['trajectory', 'condition', 'signal', ...reverseKeys]);
  assertTensor(x0, 'x0');
  const settings = reverseSettings(schedule, options);
  if (typeof options.trajectory?.[Symbol.iterator] !== 'function')
    throw wrongKind('trajectory', 'states { timestep, x }', options.trajectory);
  const steps = [...options.trajectory];
  for (const { x } of steps) assertTensor(x, 'trajectory[].x', x0.shape);
  const timesteps = Int32Array.from(steps, ({ timestep }) => timestep);
  assertAscending(schedule, timesteps);
  assertSignal(schedule, settings.predictionType, timesteps[timesteps.length - 1]);
  const states = [x0, ...steps.map(({ x }) => x)];
  const arena = await schedule.engine.lease();
  try {
    const walk = new Densities(arena, chainBetween(schedule, timesteps), settings, x0.shape);
    const answers = new Answers(arena, denoiser, settings);
    const rows: Float64Array[] = [];
    for (const [t, timestep] of timesteps.entries()) {
      options.signal?.throwIfAborted();
      const x = walk.place(states[t], states[t + 1]);
      const told = new Float32Array(x0.shape[0]).fill(timestep);
      await answers.ask({ x, timesteps: told, condition: options.condition, where: `at timestep ${timestep}` });
      rows.push(walk.densities(t, answers));
    }
    return densityOf(walk.prior(), rows, timesteps);
  } finally {
    schedule.engine.release(arena);
  }
}

/** Two neighbouring states of a chain in an arena, and the density of one given the other. */
class Densities {
  readonly #arena: Arena;
  readonly #settings: ReverseSettings;
  readonly #shape: readonly number[];
  readonly #pixels: number;
  readonly #step: ReverseStep;
  readonly #before: number;
  readonly #xt: number;

  constructor(arena: Arena, chain: Chain, settings: ReverseSettings, shape: readonly number[]) {
    this.#arena = arena;
    this.#settings = settings;
    this.#shape = shape;
    this.#pixels = sizeOf(shape) / shape[0];
    this.#step = new ReverseStep(arena, chain.schedule, { settings, pixels: this.#pixels });
    this.#before = arena.alloc(sizeOf(shape) * 4);
    this.#xt = arena.alloc(sizeOf(shape) * 4);
  }

  /** Takes x_{t-1} and x_t; returns a view of the latter. */
  place(before: Tensor, xt: Tensor): Tensor {
    const size = sizeOf(this.#shape);
    this.#arena.f32(this.#before, size).set(before.data);
    this.#arena.f32(this.#xt, size).set(xt.data);
    return { data: this.#arena.f32(this.#xt, size), shape: this.#shape };
  }

  /** log p(x_{t-1} given x_t) of each image, t counting the chain's steps. */
  densities(t: number, answers: Answers): Float64Array {
    const { wasm } = this.#arena;
    const pixels = this.#pixels;
    return Float64Array.from({ length: this.#shape[0] }, (_, i) => {
      const [at, model] = [i * pixels * 4, answers.pointer + i * (answers.stride ?? 0) * 4];
      const { v, p, q } = this.#step.take(t, { xt: this.#xt + at, model });
      const [before, mean] = [this.#before + at, this.#step.mean];
      const sum = this.#settings.learnedVariance
        ? wasm.crossEntropy(before, mean, 1, 0, v, p, q, pixels)
        : pixels * p + wasm.squaredError(before, 1, before, 0, mean, pixels) / Math.exp(p);
      return -0.5 * (sum + pixels * Math.log(2 * Math.PI));
    });
  }

  /** log N(x_t; 0, I) of each image. */
  prior(): Float64Array {
    return Float64Array.from({ length: this.#shape[0] }, (_, i) => {
      const x = this.#xt + i * this.#pixels * 4;
      return -0.5 * (this.#arena.wasm.dot(x, x, this.#pixels, 0) + this.#pixels * Math.log(2 * Math.PI));
    });
  }
}

function densityOf(prior: Float64Array, rows: readonly Float64Array[], timesteps: Int32Array): ReverseDensity {
  return {
    total: prior.map((density, i) => rows.reduce((sum, row) => sum + row[i], density)),
    prior,
    terms: Float64Array.from({ length: prior.length * rows.length }, (_, place) => {
      return rows[place % rows.length][Math.floor(place / rows.length)];
    }),
    timesteps,
  };
}
