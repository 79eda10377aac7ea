import { assertKeys } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import { perImage, type Timesteps } from './forward.ts';
import { type ReverseOptions, ReverseStep, reverseKeys, reverseSettings } from './reverseStep.ts';
import type { Schedule } from './schedule.ts';

export type { ReverseOptions } from './reverseStep.ts';

/** The Gaussian p(x_{t-1} given x_t); all four have the shape of x_t. */
export interface ReverseMoments {
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly logVariance: Tensor;
  /** What the network takes the clean image to be, clipped as the mean is. */
  readonly start: Tensor;
}

/**
 * The moments of p(x_{t-1} given x_t) from the network's answer at x_t (Ho et al. 2020, eq. 1 and 11; Nichol and Dhariwal
 * 2021, eq. 15): a row of the `ddpm` plan over all timesteps, from the schedule's own tables.
 *
 * `fixed_small` is the posterior's variance, `fixed_large` beta; at t = 0, where a plan adds no noise, both are the
 * posterior's of t = 1, as in OpenAI's code. For `learned` and `learned_range` the answer has 2C channels, of which the
 * second half is the variance itself (diffusers' meaning, at least 1e-20) or places its logarithm between the two.
 *
 * @param xt Images [count, channels, ...].
 * @param t The timestep, or one for each image; t = 0 is one step of noise.
 * @param modelOutput The network's answer, of C or 2C channels.
 * @throws TypeError or RangeError naming the argument.
 */
export function reverseMoments(
  schedule: Schedule,
  xt: Tensor,
  t: Timesteps,
  modelOutput: Tensor,
  options: ReverseOptions = {},
): ReverseMoments {
  assertReverseOptions(options);
  assertKeys(options, 'reverseMoments', reverseKeys);
  const settings = reverseSettings(schedule, options);
  assertTensor(xt, 'xt');
  const [count, channels, ...plane] = xt.shape;
  const widened = settings.learnedVariance || modelOutput?.shape?.[1] === 2 * channels;
  assertTensor(modelOutput, 'modelOutput', widened ? [count, 2 * channels, ...plane] : xt.shape);
  const timesteps = perImage(schedule, t, count);
  assertSignal(
    schedule,
    settings.predictionType,
    timesteps.reduce((last, t) => Math.max(last, t)),
  );

  const size = sizeOf(xt.shape);
  const bytes = (size / count) * 4;
  return schedule.engine.scratch((arena) => {
    const { wasm } = arena;
    const [x, model] = [xt, modelOutput].map(({ data }) => arena.allocF32(data));
    const step = new ReverseStep(arena, schedule, { settings, pixels: size / count });
    const [mean, start, variance, logVariance] = Array.from({ length: 4 }, () => arena.alloc(size * 4));
    for (const [i, t] of timesteps.entries()) {
      const at = i * bytes;
      const { v, p, q } = step.take(t, { xt: x + at, model: model + at * (widened ? 2 : 1) });
      arena.copy(mean + at, step.mean, bytes);
      arena.copy(start + at, step.start, bytes);
      wasm.spreads(logVariance + at, v, p, q, size / count, false);
      wasm.spreads(variance + at, v, p, q, size / count, true);
    }
    const tensor = (pointer: number): Tensor => ({ data: arena.f32(pointer, size).slice(), shape: [...xt.shape] });
    return {
      mean: tensor(mean),
      variance: tensor(variance),
      logVariance: tensor(logVariance),
      start: tensor(start),
    };
  });
}

/** Throws unless the options of a reverse step are of the right kind; their values are checked with a plan's. */
export function assertReverseOptions(options: ReverseOptions): void {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { clipStart } = options;
  if (clipStart !== undefined && typeof clipStart !== 'boolean')
    throw wrongKind('clipStart', 'true or false', clipStart);
}

/** Throws where no signal is left at t, so that the noise does not tell the image (Lin et al. 2024, section 3.2). */
export function assertSignal(schedule: Schedule, predictionType: string, t: number): void {
  if (predictionType === 'epsilon' && schedule.alphasCumprod[t] === 0)
    throw wrongValue(
      'prediction_type',
      `sample or v_prediction where the schedule ends in pure noise (abar is 0 at timestep ${t})`,
      predictionType,
    );
}
