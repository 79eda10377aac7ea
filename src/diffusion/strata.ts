import type { Engine } from '../engine/engine.ts';
import { strataDraw, wordsOf } from './draws.ts';

/** 2^64 over the golden ratio, odd: multiples of it modulo 2^64 leave no large gap, however many there are. */
const golden = 0x9e3779b97f4a7c15n;

/** How far into stratum `stratum` image `image` of a seed falls, in [0, 1). */
export type Offsets = (image: number, stratum: number) => number;

/**
 * Offsets that are uniform in [0, 1) over seeds, and over images k, k+1, ... of one seed as even as multiples of the golden
 * ratio are. They depend on (seed, image, stratum) alone.
 */
export function strataOffsets(engine: Engine, seed: number | bigint, strata: number): Offsets {
  const shifts = Float64Array.from({ length: strata }, (_, stratum) => {
    const [word] = wordsOf(engine, BigInt(seed), { block: stratum, draw: strataDraw, image: 0 });
    return word / 2 ** 32;
  });
  return (image, stratum) => {
    const along = Number(BigInt.asUintN(64, BigInt(image) * golden) >> 11n) / 2 ** 53;
    return (along + shifts[stratum]) % 1;
  };
}

/** A timestep in each of `count` equal strata of 0..T-1, ascending. */
export function stratifiedTimesteps(T: number, count: number, offsetOf: (stratum: number) => number): Int32Array {
  return Int32Array.from({ length: count }, (_, j) => Math.min(Math.floor(((j + offsetOf(j)) * T) / count), T - 1));
}

/** A design to add up a few of many terms: which are taken always, and how often the others are. */
export interface Design {
  /** Terms that are always taken, ascending. */
  readonly certain: readonly number[];
  /** The other terms, ascending, and the running sum of how often each is taken, 0 first. */
  readonly others: readonly number[];
  readonly sums: Float64Array;
  /** How many of the others are taken: as many strata of 1 as their running sum has. */
  readonly strata: number;
}

/**
 * Takes `count` of the terms, each about in proportion to its size and none more than once on average: those that would be
 * taken more often are certain.
 */
export function designOf(sizes: ArrayLike<number>, count: number): Design {
  const terms = Array.from(sizes, (_, i) => i);
  const certain = new Set<number>();
  const left = () => terms.filter((i) => !certain.has(i));
  for (;;) {
    const others = left();
    const sum = others.reduce((total, i) => total + sizes[i], 0);
    const larger = others.filter((i) => sizes[i] * (count - certain.size) >= sum);
    if (larger.length === 0 || certain.size === count) break;
    // the largest first, so that rounding never takes more than `count`
    larger.sort((a, b) => sizes[b] - sizes[a]);
    for (const i of larger.slice(0, count - certain.size)) certain.add(i);
  }
  const others = left();
  const strata = count - certain.size;
  const total = others.reduce((sum, i) => sum + sizes[i], 0);
  const sums = new Float64Array(others.length + 1);
  for (const [j, i] of others.entries()) sums[j + 1] = sums[j] + (sizes[i] * strata) / total;
  return { certain: [...certain].sort((a, b) => a - b), others, sums, strata };
}

/** A term of a design's stratum: index and what to multiply it with, 1 over how often it is taken. */
export function takeFrom({ others, sums, strata }: Design, stratum: number, offset: number) {
  const place = ((stratum + offset) / strata) * sums[others.length];
  // the last running sum that is not above the place
  let [low, high] = [0, others.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sums[middle] <= place) low = middle;
    else high = middle;
  }
  return { term: others[low], weight: 1 / (sums[low + 1] - sums[low]) };
}
