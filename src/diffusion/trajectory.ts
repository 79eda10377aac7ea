import { assertInteger } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import { addNoise, forwardStep } from './forward.ts';
import { assertRng, assertSeed, noiseStream, type Rng } from './noise.ts';
import type { Schedule } from './schedule.ts';

/** What decides a trajectory. */
export interface TrajectoryOptions {
  /** The timesteps to visit, ascending. Default: all, 0 to T-1. */
  readonly timesteps?: ArrayLike<number>;
  /** Decides the noise: an integer from 0 to 2^64 - 1. */
  readonly seed: number | bigint;
  /** The first image is number `first` of the seed's images. Default 0. */
  readonly first?: number;
  /** `philox` (default), or `torch`: its CPU stream, a tensor a step. */
  readonly rng?: Rng;
}

/** A state of the chain. */
export interface TrajectoryStep {
  readonly timestep: number;
  /** x_t, of the shape of x_0. */
  readonly x: Tensor;
  /** log q(x_t given the state before), in nats, one entry an image. */
  readonly logDensity: Float64Array;
}

/**
 * Draws x_1..x_T given x_0 from the forward chain (Ho et al. 2020, eq. 2), state by state; between timesteps further apart
 * in one jump. The log-density of the joint q(x_1..x_T given x_0) is the sum of the steps'.
 *
 * @param x0 Images [count, ...].
 * @throws TypeError or RangeError naming the argument, at the call.
 * @example
 * for (const { timestep, x } of forwardTrajectory(schedule, images, { seed: 0, timesteps: [0, 250, 999] })) draw(x);
 */
export function forwardTrajectory(
  schedule: Schedule,
  x0: Tensor,
  options: TrajectoryOptions,
): Generator<TrajectoryStep, void, void> {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { seed, first = 0, rng = 'philox', timesteps = schedule.betas.map((_, t) => t) } = options;
  assertTensor(x0, 'x0');
  assertSeed(seed);
  assertInteger(first, 'first', 0, Number.MAX_SAFE_INTEGER);
  assertRng(rng);
  assertAscending(schedule, timesteps);
  const [images] = x0.shape;
  const { shape } = x0;
  const noise = noiseStream(schedule.engine, { shape, rng, seed, first, images, pixels: sizeOf(shape) / images });
  return walk(schedule, x0, timesteps, noise);
}

/** Throws unless timesteps are those of a chain, ascending. */
export function assertAscending({ trainTimesteps }: Schedule, timesteps: ArrayLike<number>): void {
  if (typeof timesteps !== 'object' || typeof timesteps?.length !== 'number')
    throw wrongKind('timesteps', 'a list of timesteps', timesteps);
  const list = Array.from(timesteps);
  if (list.length === 0) throw wrongValue('timesteps', 'at least one timestep', list);
  for (const [i, t] of list.entries()) {
    assertInteger(t, 'timesteps[]', 0, trainTimesteps - 1);
    if (i > 0 && t <= list[i - 1]) throw wrongValue('timesteps', 'timesteps that ascend', list);
  }
}

function* walk(
  schedule: Schedule,
  x0: Tensor,
  timesteps: ArrayLike<number>,
  noiseOf: (draw: number) => Tensor,
): Generator<TrajectoryStep, void, void> {
  let x = x0;
  for (let i = 0; i < timesteps.length; i++) {
    const t = timesteps[i];
    const from = i > 0 ? timesteps[i - 1] : undefined;
    const noise = noiseOf(t);
    const single = t === (from ?? -1) + 1;
    x = single ? forwardStep(schedule, x, t, noise) : addNoise(schedule, x, t, noise, { from });
    const { alphasCumprod, betas } = schedule;
    const variance = single ? betas[t] : 1 - alphasCumprod[t] / (from === undefined ? 1 : alphasCumprod[from]);
    yield { timestep: t, x, logDensity: densities(schedule, noise, variance) };
  }
}

/** log N(sqrt(variance) noise; 0, variance I) of each image. */
function densities({ engine }: Schedule, { data, shape }: Tensor, variance: number): Float64Array {
  const pixels = data.length / shape[0];
  return engine.scratch((arena) => {
    const noise = arena.allocF32(data);
    return Float64Array.from({ length: shape[0] }, (_, i) => {
      const at = noise + i * pixels * 4;
      return -0.5 * (arena.wasm.dot(at, at, pixels, 0) + pixels * Math.log(2 * Math.PI * variance));
    });
  });
}
