import { assertInteger, assertNumber } from '../core/assert.ts';
import type { Denoiser } from '../core/denoiser.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import type { PredictionType } from '../core/schedulerConfig.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { type Answered, checkEvaluation, type EvaluationOptions, Trials } from './evaluation.ts';
import { assertSignal } from './reverse.ts';
import type { Schedule } from './schedule.ts';
import { strataOffsets, stratifiedTimesteps } from './strata.ts';

/** At which timesteps to ask, and how to weigh them. */
export interface SimpleLossOptions extends EvaluationOptions {
  /** The timesteps at which every image is tried, instead of `timestepsPerImage`. One that comes again has other noise. */
  readonly timesteps?: ArrayLike<number>;
  /** How many timesteps an image has, one in each of so many equal strata of 0..T-1. Default 1. */
  readonly timestepsPerImage?: number;
  /** The gamma of min-SNR weights. Default 5. */
  readonly gamma?: number;
}

/**
 * Mean squared errors a pixel, entry `image*perImage + j` that of an image at its j-th timestep. The three units are the
 * same error of one prediction: start = noise / SNR, velocity = noise / abar.
 */
export interface SimpleLoss {
  readonly count: number;
  readonly perImage: number;
  readonly timesteps: Int32Array;
  /** Of the noise that the network's answer says is in x_t. */
  readonly noise: Float64Array;
  /** Of the clean image that it implies, not clipped. */
  readonly start: Float64Array;
  /** Of the velocity (Salimans and Ho 2022). */
  readonly velocity: Float64Array;
  /**
   * min(SNR, gamma) / SNR, the weight of min-SNR training (Hang et al. 2023) for the error of the noise. Weighted, the
   * three units are one: min(SNR, gamma) times the error of the start, min(SNR, gamma) / (SNR + 1) that of the velocity.
   */
  readonly weights: Float64Array;
  /** The means over all entries; `weighted` is that of weights times noise. */
  readonly overall: {
    readonly noise: number;
    readonly start: number;
    readonly velocity: number;
    readonly weighted: number;
  };
}

/**
 * L_simple, the squared error of a network's noise prediction (Ho et al. 2020, eq. 14): each image noised to some
 * timesteps, by timestep and overall.
 *
 * The timesteps and the noise of image k of a seed depend on (seed, k) alone, so that results do not depend on batches.
 * Over images each stratum is covered evenly, which makes means over many images steadier than independent timesteps would.
 *
 * @param x0 Images [count, channels, ...] in [-1, 1].
 * @throws TypeError or RangeError naming the argument; DdpmError `network-failed` naming the timesteps.
 * @example
 * const { overall } = await simpleLoss(schedule, denoiser, images, { seed: 0, timestepsPerImage: 10 });
 */
export async function simpleLoss(
  schedule: Schedule,
  denoiser: Denoiser,
  x0: Tensor,
  options: SimpleLossOptions,
): Promise<SimpleLoss> {
  checkEvaluation(denoiser, x0, options, ['simpleLoss', 'timesteps', 'timestepsPerImage', 'gamma']);
  const { gamma = 5 } = options;
  assertNumber(gamma, 'gamma', 0);
  const { predictionType } = schedule.config;
  const timesteps = timestepsOf(schedule, x0.shape[0], options);
  const draws = drawsOf(schedule, timesteps, timesteps.length / x0.shape[0]);
  assertSignal(
    schedule,
    predictionType,
    timesteps.reduce((last, t) => Math.max(last, t), 0),
  );

  const errors = new Float64Array(timesteps.length);
  const perImage = timesteps.length / x0.shape[0];
  const arena = await schedule.engine.lease();
  try {
    const trials = new Trials(arena, denoiser, { ...options, x0, learnedVariance: false });
    const trialOf = (place: number) => ({
      timestep: timesteps[place],
      abar: schedule.alphasCumprod[timesteps[place]],
      draw: draws[place],
    });
    await trials.run(
      perImage,
      (image, column) => trialOf(image * perImage + column),
      (image, column, answered) => {
        const place = image * perImage + column;
        const { abar } = trialOf(place);
        errors[place] = predictionError(arena, predictionType, { ...answered, abar, pixels: trials.pixels });
      },
    );
  } finally {
    schedule.engine.release(arena);
  }
  return lossOf(schedule, { timesteps, errors, count: x0.shape[0], gamma });
}

/** The mean squared error of what the network predicts, whichever it is, from pointers to one image's parts. */
export function predictionError(
  { wasm }: Arena,
  predictionType: PredictionType,
  { x0, noise, model, abar, pixels }: Answered & { readonly abar: number; readonly pixels: number },
): number {
  const targets = { epsilon: [0, 1], sample: [1, 0], v_prediction: [-Math.sqrt(1 - abar), Math.sqrt(abar)] };
  const [ofStart, ofNoise] = targets[predictionType];
  return wasm.squaredError(x0, ofStart, noise, ofNoise, model, pixels) / pixels;
}

function timestepsOf({ engine, trainTimesteps: T }: Schedule, count: number, options: SimpleLossOptions): Int32Array {
  const { timesteps, timestepsPerImage, seed, first = 0 } = options;
  if (timesteps !== undefined) {
    if (timestepsPerImage !== undefined)
      throw wrongValue('timestepsPerImage', 'none beside "timesteps"', timestepsPerImage);
    if (typeof timesteps !== 'object' || typeof timesteps?.length !== 'number')
      throw wrongKind('timesteps', 'a list of timesteps', timesteps);
    if (timesteps.length === 0) throw wrongValue('timesteps', 'at least one timestep', timesteps);
    const list = Array.from(timesteps);
    for (const t of list) assertInteger(t, 'timesteps[]', 0, T - 1);
    return Int32Array.from({ length: count * list.length }, (_, place) => list[place % list.length]);
  }
  const strata = timestepsPerImage ?? 1;
  assertInteger(strata, 'timestepsPerImage', 1, T);
  const offsets = strataOffsets(engine, seed, strata);
  const all = new Int32Array(count * strata);
  for (let image = 0; image < count; image++)
    all.set(
      stratifiedTimesteps(T, strata, (stratum) => offsets(first + image, stratum)),
      image * strata,
    );
  return all;
}

/** Draw t for the noise of timestep t; where a timestep comes to an image again, a draw that no timestep has. */
function drawsOf({ trainTimesteps: T }: Schedule, timesteps: Int32Array, perImage: number): Float64Array {
  const draws = new Float64Array(timesteps.length);
  for (let begin = 0; begin < timesteps.length; begin += perImage) {
    const times = new Map<number, number>();
    for (let place = begin; place < begin + perImage; place++) {
      const t = timesteps[place];
      const before = times.get(t) ?? 0;
      draws[place] = t + T * before;
      times.set(t, before + 1);
    }
  }
  return draws;
}

interface Errors {
  readonly timesteps: Int32Array;
  /** In units of what the network predicts. */
  readonly errors: Float64Array;
  readonly count: number;
  readonly gamma: number;
}

function lossOf(schedule: Schedule, { timesteps, errors, count, gamma }: Errors): SimpleLoss {
  const { alphasCumprod, config } = schedule;
  const inUnit = (unit: Unit) =>
    errors.map((e, i) => e * ratios[config.predictionType](alphasCumprod[timesteps[i]])[unit]);
  const [noise, start, velocity] = [inUnit('noise'), inUnit('start'), inUnit('velocity')];
  const weights = Float64Array.from(timesteps, (t) => {
    const snr = alphasCumprod[t] / (1 - alphasCumprod[t]);
    return snr > gamma ? gamma / snr : 1;
  });
  const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const overall = {
    noise: mean(noise),
    start: mean(start),
    velocity: mean(velocity),
    weighted: mean(noise.map((error, i) => weights[i] * error)),
  };
  return { count, perImage: timesteps.length / count, timesteps, noise, start, velocity, weights, overall };
}

type Unit = 'noise' | 'start' | 'velocity';

/** The squared error in each unit over that of what the network predicts. */
const ratios: Readonly<Record<PredictionType, (abar: number) => Readonly<Record<Unit, number>>>> = {
  epsilon: (abar) => ({ noise: 1, start: (1 - abar) / abar, velocity: 1 / abar }),
  sample: (abar) => ({ noise: abar / (1 - abar), start: 1, velocity: 1 / (1 - abar) }),
  v_prediction: (abar) => ({ noise: abar, start: 1 - abar, velocity: 1 }),
};
