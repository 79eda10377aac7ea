import { assertInteger, assertKeys } from '../core/assert.ts';
import type { Distance } from './frechet.ts';
import { assertAlike, assertRows, dimsOf, floatsOf, type Rows } from './rows.ts';
import { shuffler } from './shuffle.ts';
import { dotTiles } from './tiles.ts';

/** How to take a kernel distance. */
export interface KernelOptions {
  /** How many subsets to average over. Default 50. */
  readonly subsets?: number;
  /** Rows of a subset, at most half of the smaller set. Default: a quarter of it, at least 2 and at most 1000. */
  readonly size?: number;
  /** Decides which rows are in which subset: an integer of at least 0. Default 0. */
  readonly seed?: number;
}

/**
 * The squared maximum mean discrepancy of two sets of feature rows [n, D] under the kernel (x y / D + 1)^3, averaged
 * over pairs of subsets: KID, where the features are Inception's (Binkowski et al. 2018, section 4). Without bias
 * whatever the numbers of rows, so it may come out below 0 for sets that are alike.
 *
 * The rows are dealt into subsets at random, and dealt again when they are used up. The error is s / sqrt(b) with s the
 * standard deviation within a deal and b its subsets: exact for one deal, and an upper bound for more, as an average
 * over orders varies at most as much as over one (Hoeffding 1963, section 5). It is over both sets.
 *
 * @throws RangeError for fewer than 4 rows
 */
export function kernelDistance(samples: Rows, reference: Rows, options: KernelOptions = {}): Distance {
  assertRows(samples, 'samples', 4);
  assertRows(reference, 'reference', 4);
  assertAlike(samples, reference, 'reference');
  assertKeys(options, 'options', ['subsets', 'size', 'seed']);
  const least = Math.min(samples.shape[0], reference.shape[0]);
  const { subsets = 50, size = Math.min(1000, Math.max(2, Math.floor(least / 4))), seed = 0 } = options;
  assertInteger(subsets, 'subsets', 2, 1_000_000);
  assertInteger(size, 'size', 2, Math.floor(least / 2));
  assertInteger(seed, 'seed', 0, Number.MAX_SAFE_INTEGER);
  return overDeals(dealSubsets(samples, reference, { size, seed }), subsets, Math.floor(least / size));
}

/**
 * The same of the whole sets at once, without an error: U-statistics within each set less twice the mean across (Gretton
 * et al. 2012, eq. 3).
 */
export function kernelDistanceOnce(a: Rows, b: Rows): number {
  const [n, m] = [a.shape[0], b.shape[0]];
  return sumPairs(a) / (n * (n - 1)) + sumPairs(b) / (m * (m - 1)) - (2 * sumAcross(a, b)) / (n * m);
}

/** Pairs of subsets without end; `floor(rows / size)` of them in a row have no row in common. */
function* dealSubsets(
  samples: Rows,
  reference: Rows,
  { size, seed }: { size: number; seed: number },
): Generator<[Rows, Rows], never, void> {
  const shuffled = shuffler(seed);
  const perDeal = Math.floor(Math.min(samples.shape[0], reference.shape[0]) / size);
  for (;;) {
    const [left, right] = [shuffled(samples.shape[0]), shuffled(reference.shape[0])];
    for (let i = 0; i < perDeal; i++) {
      const [begin, end] = [i * size, (i + 1) * size];
      yield [gather(samples, left.subarray(begin, end)), gather(reference, right.subarray(begin, end))];
    }
  }
}

function overDeals(pairs: Iterator<[Rows, Rows], never>, subsets: number, perDeal: number): Distance {
  let [total, squares, freedom] = [0, 0, 0];
  for (let done = 0; done < subsets; done += perDeal) {
    const count = Math.min(perDeal, subsets - done);
    const deal = Array.from({ length: count }, () => kernelDistanceOnce(...pairs.next().value));
    const mean = deal.reduce((sum, d) => sum + d, 0) / count;
    total += mean * count;
    squares += deal.reduce((sum, d) => sum + (d - mean) ** 2, 0);
    freedom += count - 1;
  }
  return {
    distance: total / subsets,
    standardError: Math.sqrt(squares / freedom / Math.min(subsets, perDeal)),
  };
}

function gather(rows: Rows, which: Int32Array): Rows {
  const dims = dimsOf(rows);
  const data = new Float32Array(which.length * dims);
  for (const [i, row] of which.entries()) data.set(floatsOf(rows, row, row + 1), i * dims);
  return { data, shape: [which.length, dims] };
}

/** The kernel's sum over all pairs of different rows, each pair both ways. */
function sumPairs(a: Rows): number {
  const dims = dimsOf(a);
  let sum = 0;
  for (const { aBegin, aEnd, bBegin, bEnd, values } of dotTiles(a))
    for (let at = 0, i = aBegin; i < aEnd; i++)
      for (let j = bBegin; j < bEnd; j++, at++) if (i < j) sum += kernel(values[at], dims);
  return 2 * sum;
}

function sumAcross(a: Rows, b: Rows): number {
  const dims = dimsOf(a);
  let sum = 0;
  for (const { aBegin, aEnd, bBegin, bEnd, values } of dotTiles(a, b)) {
    const length = (aEnd - aBegin) * (bEnd - bBegin);
    for (let at = 0; at < length; at++) sum += kernel(values[at], dims);
  }
  return sum;
}

function kernel(dot: number, dims: number): number {
  const base = dot / dims + 1;
  return base * base * base;
}
