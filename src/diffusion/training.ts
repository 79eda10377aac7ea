import type { Denoiser } from '../core/denoiser.ts';
import type { Tensor } from '../core/tensor.ts';
import { BoundTerms } from './boundTerm.ts';
import { chainOf } from './chain.ts';
import { checkEvaluation, type EvaluationOptions, Trials } from './evaluation.ts';
import { perImage, type Timesteps } from './forward.ts';
import { assertReverseOptions, assertSignal } from './reverse.ts';
import { type ReverseOptions, reverseKeys, reverseSettings } from './reverseStep.ts';
import type { Schedule } from './schedule.ts';
import { predictionError } from './simple.ts';

/** At which timestep each image is tried. */
export interface TrainingLossOptions extends EvaluationOptions, ReverseOptions {
  /** A timestep for all images, or one for each. */
  readonly timesteps: Timesteps;
}

/** The losses of each image. */
export interface TrainingLosses {
  readonly timesteps: Int32Array;
  /** The mean squared error of what the network predicts. */
  readonly mse: Float64Array;
  /** T/1000 times the term of the bound at the image's timestep, in bits per dimension. */
  readonly vb: Float64Array;
  /** mse + vb where the variance is learned, else mse. */
  readonly loss: Float64Array;
}

/**
 * The losses that a network is trained with: mean squared error, and with a learned variance the term of the variational
 * bound (Nichol and Dhariwal 2021, section 3.1), as in OpenAI's training_losses with its rescaled squared error.
 *
 * These are values, without gradients; that the mean is detached in the second changes none of them. The start is not
 * clipped, unless `clipStart` says so.
 *
 * @param x0 Images [count, channels, ...] of values byte/127.5 - 1.
 * @throws TypeError or RangeError naming the argument; DdpmError `network-failed` naming the timesteps.
 */
export async function trainingLosses(
  schedule: Schedule,
  denoiser: Denoiser,
  x0: Tensor,
  options: TrainingLossOptions,
): Promise<TrainingLosses> {
  checkEvaluation(denoiser, x0, options, ['trainingLosses', 'timesteps', ...reverseKeys]);
  assertReverseOptions(options);
  const settings = reverseSettings(schedule, { ...options, clipStart: options.clipStart ?? false });
  const { learnedVariance, predictionType } = settings;
  const timesteps = Int32Array.from(perImage(schedule, options.timesteps, x0.shape[0]));
  assertSignal(
    schedule,
    predictionType,
    timesteps.reduce((last, t) => Math.max(last, t)),
  );
  const chain = chainOf(schedule).schedule;

  const [mse, vb] = [new Float64Array(timesteps.length), new Float64Array(timesteps.length)];
  const arena = await schedule.engine.lease();
  try {
    const trials = new Trials(arena, denoiser, { ...options, x0, learnedVariance });
    const { pixels } = trials;
    const terms = new BoundTerms(arena, chain, settings, pixels);
    await trials.run(
      1,
      (image) => ({ timestep: timesteps[image], abar: chain.alphasCumprod[timesteps[image]], draw: timesteps[image] }),
      (image, _, answered) => {
        const t = timesteps[image];
        mse[image] = predictionError(arena, predictionType, { ...answered, abar: chain.alphasCumprod[t], pixels });
        vb[image] = (terms.take(t, answered).bits * schedule.trainTimesteps) / 1000;
      },
    );
  } finally {
    schedule.engine.release(arena);
  }
  return { timesteps, mse, vb, loss: learnedVariance ? mse.map((error, i) => error + vb[i]) : mse };
}
