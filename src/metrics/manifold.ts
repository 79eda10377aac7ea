import { assertInteger, assertKeys } from '../core/assert.ts';
import { assertAlike, assertRows, type Rows } from './rows.ts';
import { distanceTiles } from './tiles.ts';

/** How to compare the manifolds of two sets. */
export interface ManifoldOptions {
  /** A row's ball reaches to its k-th nearest row of the same set, itself not counted. Default 3. */
  readonly k?: number;
}

/** How much of each set lies in what the other covers; shares, of which only the density can exceed 1. */
export interface ManifoldFigures {
  /** The share of samples in some ball of the reference: are they real? */
  readonly precision: number;
  /** The share of reference rows in some ball of the samples: are all there? */
  readonly recall: number;
  /** How many balls of the reference a sample lies in, over k: precision that one outlier does not inflate. */
  readonly density: number;
  /** The share of reference balls with a sample in them: recall that counts no ball of the samples'. */
  readonly coverage: number;
}

/**
 * Precision and recall (Kynkaanniemi et al. 2019, eq. 1 and 2, k = 3), density and coverage (Naeem et al. 2020, eq. 3 and
 * 4, who take k = 5) of samples against a reference, from the Euclidean distances of their feature rows [n, D]. What is
 * on the rim of a ball is in it.
 *
 * All depend on the numbers of rows: compare figures of equal numbers only. Memory is that of two sets, not of their
 * product.
 *
 * @throws RangeError for sets of k rows or fewer
 */
export function precisionRecall(samples: Rows, reference: Rows, options: ManifoldOptions = {}): ManifoldFigures {
  assertKeys(options, 'options', ['k']);
  const { k = 3 } = options;
  assertInteger(k, 'k', 1, 1000);
  assertRows(samples, 'samples', k + 1);
  assertRows(reference, 'reference', k + 1);
  assertAlike(samples, reference, 'reference');
  const [sampleRadii, referenceRadii] = [squaredRadii(samples, k), squaredRadii(reference, k)];

  const real = new Uint8Array(sampleRadii.length);
  const [recalled, covered] = [new Uint8Array(referenceRadii.length), new Uint8Array(referenceRadii.length)];
  let inBalls = 0;
  for (const { aBegin, aEnd, bBegin, bEnd, values } of distanceTiles(samples, reference))
    for (let at = 0, i = aBegin; i < aEnd; i++)
      for (let j = bBegin; j < bEnd; j++, at++) {
        if (values[at] <= referenceRadii[j]) {
          real[i] = covered[j] = 1;
          inBalls++;
        }
        if (values[at] <= sampleRadii[i]) recalled[j] = 1;
      }
  return {
    precision: share(real),
    recall: share(recalled),
    density: inBalls / k / real.length,
    coverage: share(covered),
  };
}

/** The squared distance of each row to its k-th nearest other row. */
function squaredRadii(rows: Rows, k: number): Float64Array {
  const count = rows.shape[0];
  // the k smallest so far of each row, in rising order
  const nearest = new Float64Array(count * k).fill(Infinity);
  for (const { aBegin, aEnd, bBegin, bEnd, values } of distanceTiles(rows))
    for (let at = 0, i = aBegin; i < aEnd; i++)
      for (let j = bBegin; j < bEnd; j++, at++)
        if (i < j) {
          insert(nearest, i * k, k, values[at]);
          insert(nearest, j * k, k, values[at]);
        }
  return Float64Array.from({ length: count }, (_, i) => nearest[i * k + k - 1]);
}

function insert(sorted: Float64Array, begin: number, k: number, value: number): void {
  let at = begin + k - 1;
  if (!(value < sorted[at])) return;
  for (; at > begin && sorted[at - 1] > value; at--) sorted[at] = sorted[at - 1];
  sorted[at] = value;
}

function share(marks: Uint8Array): number {
  return marks.reduce((sum, mark) => sum + mark, 0) / marks.length;
}
