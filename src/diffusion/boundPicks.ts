import { normalKl } from './gaussian.ts';
import type { ReverseSettings } from './reverseStep.ts';
import { fixedLogVariance, type Schedule } from './schedule.ts';
import { type Design, designOf, type Offsets, takeFrom } from './strata.ts';

/** Which terms of the bound are found for an image: steps of the chain, last step first, 0 left out. */
export interface Picks {
  readonly steps: Int32Array;
  /** What each term counts for: 1 over the probability that it is taken. */
  readonly weights: Float64Array;
}

/** All terms L_{t-1} of a chain of T steps. */
export function allPicks(T: number): Picks {
  return { steps: Int32Array.from({ length: T - 1 }, (_, j) => T - 1 - j), weights: new Float64Array(T - 1).fill(1) };
}

/** A design to add up the terms of a chain from `count` of them. */
export function boundDesign(schedule: Schedule, settings: ReverseSettings, count: number): Design {
  return designOf(
    Float64Array.from({ length: schedule.trainTimesteps - 1 }, (_, i) => guess(schedule, settings, i + 1)),
    count,
  );
}

/** The terms of an image: those that are certain, and one from each stratum of the others. */
export function somePicks(design: Design, image: number, offsets: Offsets): Picks {
  const certain = design.certain.map((term) => ({ term, weight: 1 }));
  const chosen = Array.from({ length: design.strata }, (_, s) => takeFrom(design, s, offsets(image, s)));
  const picks = [...certain, ...chosen].sort((a, b) => b.term - a.term);
  return {
    steps: Int32Array.from(picks, ({ term }) => term + 1),
    weights: Float64Array.from(picks, ({ weight }) => weight),
  };
}

/**
 * The standard error of the sum of an image's terms, by the squared differences of neighbouring strata (Wolter 2007,
 * section 8.2). What the terms themselves do from one stratum to the next counts too, so it is rather too large.
 */
export function standardErrorOf(terms: ArrayLike<number>, weights: ArrayLike<number>): number {
  const values = Array.from(terms, (term, j) => term * weights[j]).filter((_, j) => weights[j] !== 1);
  const differences = values.slice(1).map((value, j) => value - values[j]);
  if (values.length === 0) return 0;
  const squares = differences.reduce((sum, difference) => sum + difference ** 2, 0);
  return Math.sqrt((values.length * squares) / (2 * differences.length));
}

/**
 * The mean squared error of a network's start is taken to be (1 + SNR)^-sharpness. On the bundled model anything from 0.8 to 1
 * is nearly as good as knowing the terms.
 */
const sharpness = 0.9;

/** About how large a term is, before any network is asked. */
function guess(schedule: Schedule, { varianceType }: ReverseSettings, t: number): number {
  const { alphasCumprod, posteriorLogVarianceClipped, posteriorMeanCoef1 } = schedule;
  const logVariance = fixedLogVariance(schedule, varianceType, t);
  const error = (1 - alphasCumprod[t]) ** sharpness;
  const distance = posteriorMeanCoef1[t] * Math.sqrt(error);
  return normalKl(distance, posteriorLogVarianceClipped[t], 0, logVariance);
}
