import { assertInteger } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Schedule } from './schedule.ts';

/** A timestep for all images, or one for each. */
export type Timesteps = number | ArrayLike<number>;

/**
 * q(x_t given x_0): sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise (Ho et al. 2020, eq. 4).
 *
 * With `from`, x is x_s at timestep s = `from` < t and the result is q(x_t given x_s): the same with abar_t/abar_s.
 *
 * @param t The timestep, or one for each image of x; t = 0 is one step of noise.
 * @throws TypeError or RangeError naming the argument.
 */
export function addNoise(
  schedule: Schedule,
  x: Tensor,
  t: Timesteps,
  noise: Tensor,
  options: { from?: number } = {},
): Tensor {
  const { alphasCumprod } = schedule;
  const { from } = options;
  if (from !== undefined) assertInteger(from, 'from', 0, schedule.trainTimesteps - 1);
  return combine(schedule, { x, noise }, t, (t) => {
    if (from !== undefined && t <= from) throw wrongValue('t', `a timestep after "from" (${from})`, t);
    const kept = from === undefined ? alphasCumprod[t] : alphasCumprod[t] / alphasCumprod[from];
    return [Math.sqrt(kept), Math.sqrt(1 - kept)];
  });
}

/** q(x_t given x_{t-1}): sqrt(1 - beta_t) x + sqrt(beta_t) noise, one step of the chain (eq. 2). */
export function forwardStep(schedule: Schedule, x: Tensor, t: Timesteps, noise: Tensor): Tensor {
  const { betas } = schedule;
  return combine(schedule, { x, noise }, t, (t) => [Math.sqrt(1 - betas[t]), Math.sqrt(betas[t])]);
}

/** The velocity sqrt(abar_t) noise - sqrt(1 - abar_t) x_0 (Salimans and Ho 2022, appendix D). */
export function velocity(schedule: Schedule, x0: Tensor, t: Timesteps, noise: Tensor): Tensor {
  const { alphasCumprod } = schedule;
  return combine(schedule, { x0, noise }, t, (t) => [-Math.sqrt(1 - alphasCumprod[t]), Math.sqrt(alphasCumprod[t])]);
}

/** x_0 from x_t and its noise: (x_t - sqrt(1 - abar_t) noise) / sqrt(abar_t), eq. 4 solved for x_0. */
export function predictStart(schedule: Schedule, xt: Tensor, t: Timesteps, noise: Tensor): Tensor {
  const { alphasCumprod } = schedule;
  return combine(schedule, { xt, noise }, t, (t) => {
    const signal = Math.sqrt(alphasCumprod[t]);
    return [1 / signal, -Math.sqrt(1 - alphasCumprod[t]) / signal];
  });
}

/** The noise in x_t when the image is x_0: (x_t - sqrt(abar_t) x_0) / sqrt(1 - abar_t), eq. 4 solved for the noise. */
export function predictNoise(schedule: Schedule, xt: Tensor, t: Timesteps, x0: Tensor): Tensor {
  const { alphasCumprod } = schedule;
  return combine(schedule, { xt, x0 }, t, (t) => {
    const noise = Math.sqrt(1 - alphasCumprod[t]);
    return [1 / noise, -Math.sqrt(alphasCumprod[t]) / noise];
  });
}

/** The Gaussian q(x_{t-1} given x_t, x_0); variances have one entry an image. */
export interface Posterior {
  readonly mean: Tensor;
  readonly variance: Float64Array;
  /** The logarithm of the variance, with the value of t = 1 at t = 0, where the variance is zero. */
  readonly logVarianceClipped: Float64Array;
}

/** q(x_{t-1} given x_t, x_0): eq. 7 of Ho et al. 2020, `posteriorMeanCoef1` x_0 + `posteriorMeanCoef2` x_t. */
export function posterior(schedule: Schedule, x0: Tensor, xt: Tensor, t: Timesteps): Posterior {
  const { posteriorMeanCoef1, posteriorMeanCoef2 } = schedule;
  const mean = combine(schedule, { x0, xt }, t, (t) => [posteriorMeanCoef1[t], posteriorMeanCoef2[t]]);
  const timesteps = perImage(schedule, t, x0.shape[0]);
  return {
    mean,
    variance: timesteps.map((t) => schedule.posteriorVariance[t]),
    logVarianceClipped: timesteps.map((t) => schedule.posteriorLogVarianceClipped[t]),
  };
}

/** The posterior's mean from the noise in x_t: (x_t - beta_t / sqrt(1 - abar_t) noise) / sqrt(alpha_t), eq. 11. */
export function posteriorMeanFromNoise(schedule: Schedule, xt: Tensor, t: Timesteps, noise: Tensor): Tensor {
  const { alphas, alphasCumprod, betas } = schedule;
  return combine(schedule, { xt, noise }, t, (t) => {
    const root = Math.sqrt(alphas[t]);
    return [1 / root, -betas[t] / Math.sqrt(1 - alphasCumprod[t]) / root];
  });
}

/** first * w1 + second * w2 in the engine, the weights by each image's timestep. */
function combine(
  schedule: Schedule,
  inputs: Record<string, Tensor>,
  t: Timesteps,
  weights: (t: number) => [number, number],
): Tensor {
  const [[firstName, first], [secondName, second]] = Object.entries(inputs);
  assertTensor(first, firstName);
  assertTensor(second, secondName, first.shape);
  const [count] = first.shape;
  const coefficients = [...perImage(schedule, t, count)].flatMap(weights);
  return schedule.engine.scratch((arena) => {
    const size = sizeOf(first.shape);
    const out = arena.alloc(size * 4);
    const x = arena.allocF32(first.data);
    const y = arena.allocF32(second.data);
    arena.wasm.mix(out, x, y, arena.allocF64(coefficients), count, size / count);
    return { data: arena.f32(out, size).slice(), shape: [...first.shape] };
  });
}

/** A timestep for each image, checked. */
export function perImage(schedule: Schedule, t: Timesteps, count: number): Float64Array {
  if (typeof t !== 'number' && typeof t?.length !== 'number') throw wrongKind('t', 'a timestep or one an image', t);
  const timesteps = typeof t === 'number' ? new Float64Array(count).fill(t) : Float64Array.from(t);
  if (timesteps.length !== count) throw wrongValue('t', `one timestep or ${count}`, [...timesteps]);
  for (const timestep of timesteps) assertInteger(timestep, 't', 0, schedule.trainTimesteps - 1);
  return timesteps;
}
