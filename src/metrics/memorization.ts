import { type Neighbors, neighborsIn } from './neighbors.ts';
import { assertAlike, assertRows, type Rows } from './rows.ts';

/** The fewest held-out images, of which the 1st percentile is one. */
export const leastHeldOut = 100;

/** What `memorization` takes. */
export interface MemorizationSets {
  /** What the model made. */
  readonly samples: Rows;
  /** What it was trained on. */
  readonly training: Rows;
  /** Real images that it was not trained on, at least 100: the yardstick. */
  readonly heldOut: Rows;
}

/** How near samples are to what a model was trained on. */
export interface Memorization {
  /** The share of samples nearer to the training set than the median held-out image: 0.5 is expected of new images. */
  readonly nearer: number;
  /** The share nearer than all but 1% of held-out images: 0.01 is expected of new images, 1 of copies. */
  readonly copies: number;
  /** The distances that those shares are below: the held-out images' median and 1st percentile. */
  readonly limits: { readonly nearer: number; readonly copies: number };
  /** Each sample's nearest training row, to be looked at. */
  readonly samples: Neighbors;
  readonly heldOut: Neighbors;
}

/**
 * Whether samples repeat the training set: their distances to its nearest rows, held against the same distances of real
 * images that were not in it. A model that has learned the distribution gives about `nearer` 0.5 and `copies` 0.01; one
 * that repeats a part p of its samples gives `copies` of p and more. Smooth images lie nearer to all others, so `nearer`
 * alone proves nothing; and low shares are no merit: images unlike any real one are far from the training set too.
 *
 * All three are rows of one space: pixels, where copies are literal, or features, where they may be shifted. Percentiles
 * are interpolated between the two nearest ranks; a sample at a limit is not below it.
 *
 * @throws RangeError for fewer than 100 held-out rows
 */
export function memorization({ samples, training, heldOut }: MemorizationSets): Memorization {
  assertRows(samples, 'samples');
  assertRows(training, 'training');
  assertRows(heldOut, 'heldOut', leastHeldOut);
  assertAlike(training, samples, 'samples');
  assertAlike(training, heldOut, 'heldOut');
  const nearest = neighborsIn(training);
  const [ofSamples, ofHeldOut] = [nearest(samples), nearest(heldOut)];
  const sorted = ofHeldOut.distances.toSorted();
  const limits = { nearer: percentile(sorted, 0.5), copies: percentile(sorted, 0.01) };
  return {
    nearer: shareBelow(ofSamples.distances, limits.nearer),
    copies: shareBelow(ofSamples.distances, limits.copies),
    limits,
    samples: ofSamples,
    heldOut: ofHeldOut,
  };
}

function percentile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

function shareBelow(distances: Float64Array, limit: number): number {
  return distances.reduce((count, distance) => count + Number(distance < limit), 0) / distances.length;
}
