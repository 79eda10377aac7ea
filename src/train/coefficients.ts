import { wrongValue } from '../core/errors.ts';
import type { PredictionType } from '../core/schedulerConfig.ts';
import { chainOf } from '../diffusion/chain.ts';
import { assertSignal } from '../diffusion/reverse.ts';
import type { Schedule } from '../diffusion/schedule.ts';
import type { TrainingConfig } from './configSchema.ts';

/**
 * What the loss of an image takes from the noise schedule: the columns of `coefficientsOf`, and of the `coefficients` that
 * a `lossGraph` is fed. sigma_t is the deviation of the posterior q(x_{t-1} given x_t, x_0), at t = 0 that of t = 1.
 */
export const COEFFICIENTS = [
  'signal', // sqrt(abar_t), of the image in x_t
  'noise', // sqrt(1 - abar_t), of the noise in x_t
  'weight', // of the squared error

  // of the bound, and 0 where the variance is fixed
  'meanError', // how far the mean of p(x_{t-1} given x_t) is off, in sigma_t, for each unit that the prediction is off
  'logVarianceReach', // half of log(beta_t / sigma_t^2)
  'binReach', // half the distance of two 8-bit values in sigma_t, at t = 0; 0 for other t
  'divergence', // T/ln 2, what nats of the posterior's divergence count for; 0 at t = 0
  'likelihood', // T/ln 2, what nats of the 8-bit image's likelihood count for; 0 for t > 0
] as const;

/** The name of a column. */
export type Coefficient = (typeof COEFFICIENTS)[number];

/**
 * The coefficients of all timesteps, [T, COEFFICIENTS.length]: computed in float64, cast once.
 *
 * `weighting` is in terms of the noise's error: 1 for `none` and whatever is predicted; `min-snr` min(1, gamma/SNR) (Hang et
 * al. 2023), `p2` 1/(k + SNR)^gamma (Choi et al. 2022). The error of the image is that of the noise over SNR, and the
 * error of the velocity that of the noise over abar, so that these weights come times SNR, or abar, where those are
 * predicted: min(SNR, gamma) and min(SNR, gamma)/(SNR + 1), SNR/(k + SNR)^gamma and abar/(k + SNR)^gamma.
 *
 * The bound's chain is that of the schedule's betas in float64.
 *
 * @throws RangeError for a noise that is predicted where no image is left, for weights that are not finite, and for a
 * schedule whose learned variance is not a range
 */
export function coefficientsOf(schedule: Schedule, loss: TrainingConfig['loss']): Float32Array {
  const { alphasCumprod, trainTimesteps: T } = schedule;
  assertSignal(schedule, loss.prediction, T - 1);
  const bound = loss.variance === 'learned' ? boundColumns(schedule, loss) : () => ({});
  const table = new Float32Array(T * COEFFICIENTS.length);
  for (const [t, abar] of alphasCumprod.entries()) {
    const weight = weightOf(abar, loss);
    if (!Number.isFinite(Math.fround(weight)))
      throw wrongValue('loss.k', `a number with which the weight of timestep ${t} is finite`, loss.k);
    const row: Partial<Record<Coefficient, number>> = {
      ...{ signal: Math.sqrt(abar), noise: Math.sqrt(1 - abar), weight },
      ...bound(t),
    };
    table.set(
      COEFFICIENTS.map((name) => row[name] ?? 0),
      t * COEFFICIENTS.length,
    );
  }
  return table;
}

function weightOf(abar: number, { weighting, gamma, k, prediction }: TrainingConfig['loss']): number {
  if (weighting === 'none') return 1;
  const snr = abar / (1 - abar);
  const unit = { epsilon: 1, sample: snr, v_prediction: abar }[prediction];
  if (weighting === 'min-snr') return unit * (snr > gamma ? gamma / snr : 1);
  // a power is exact for gamma 1, and else one of the last bits of a float64 may differ between machines: no pixel
  // depends on it, and a run goes on where it began
  return unit / (k + snr) ** gamma;
}

function boundColumns(schedule: Schedule, { prediction }: TrainingConfig['loss']) {
  const { varianceType } = schedule.config;
  if (varianceType === 'learned')
    throw wrongValue('variance_type', 'learned_range, between whose ends the network places a variance', varianceType);
  const { betas, alphasCumprod, posteriorVariance, posteriorMeanCoef1, trainTimesteps: T } = chainOf(schedule).schedule;
  return (t: number): Partial<Record<Coefficient, number>> => {
    // the posterior has no variance at t = 0, and a single step has only its beta
    const variance = T > 1 ? posteriorVariance[Math.max(t, 1)] : betas[0];
    const sigma = Math.sqrt(variance);
    return {
      meanError: (posteriorMeanCoef1[t] * startError(prediction, alphasCumprod[t])) / sigma,
      logVarianceReach: 0.5 * Math.log(betas[t] / variance),
      binReach: t === 0 ? 1 / (255 * sigma) : 0,
      divergence: t === 0 ? 0 : T / Math.LN2,
      likelihood: t === 0 ? T / Math.LN2 : 0,
    };
  };
}

/** How far the implied image is off for each unit that the prediction is off. */
function startError(prediction: PredictionType, abar: number): number {
  const noise = Math.sqrt(1 - abar);
  return { epsilon: -noise / Math.sqrt(abar), sample: 1, v_prediction: -noise }[prediction];
}
