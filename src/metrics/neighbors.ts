import { fitProjection, slackOf } from './projection.ts';
import { assertAlike, assertRows, dimsOf, type Rows, rowsBetween } from './rows.ts';
import { distanceTiles } from './tiles.ts';

/** For each row of a set the nearest row of another. */
export interface Neighbors {
  /** The nearest row's number; of several as near the first. */
  readonly indices: Int32Array;
  /** Euclidean, in the units of the rows: grey levels for bytes. */
  readonly distances: Float64Array;
}

// bounds are kept for so many pairs at a time: 32 MB
const pairsAtOnce = 2 ** 22;

/**
 * The nearest row of `training` for each row of `queries`, by Euclidean distance and exact: of features [n, D], or of
 * images [n, channels, height, width] as floats or as bytes, pixel by pixel.
 *
 * Distances in a space of fewer dimensions, which bound the true ones from below, rule out nearly all pairs first.
 */
export function nearestNeighbors(queries: Rows, training: Rows): Neighbors {
  assertRows(queries, 'queries');
  assertRows(training, 'training');
  assertAlike(queries, training, 'training');
  return neighborsIn(training)(queries);
}

/** The same for several sets of queries, with the training set prepared once. */
export function neighborsIn(training: Rows): (queries: Rows) => Neighbors {
  const project = fitProjection(training);
  const bounding = project(training);
  const slack = slackOf(bounding);
  return (queries) => {
    const count = queries.shape[0];
    const found = { indices: new Int32Array(count), distances: new Float64Array(count) };
    const group = Math.max(4, Math.floor(pairsAtOnce / training.shape[0]));
    for (let begin = 0; begin < count; begin += group) {
      const end = Math.min(begin + group, count);
      const part = rowsBetween(queries, begin, end);
      const projected = project(part);
      search(
        { queries: part, training, bounds: boundsOf(projected, bounding), slack, own: slackOf(projected) },
        (i, best) => {
          found.indices[begin + i] = best.index;
          found.distances[begin + i] = Math.sqrt(best.squared);
        },
      );
    }
    return found;
  };
}

/** Lower bounds of the squared distances, [a, b]. */
function boundsOf(a: Rows, b: Rows): Float64Array {
  const total = b.shape[0];
  const bounds = new Float64Array(a.shape[0] * total);
  for (const { aBegin, aEnd, bBegin, bEnd, values } of distanceTiles(a, b)) {
    const width = bEnd - bBegin;
    for (let i = aBegin; i < aEnd; i++) {
      const from = (i - aBegin) * width;
      bounds.set(values.subarray(from, from + width), i * total + bBegin);
    }
  }
  return bounds;
}

interface Search {
  readonly queries: Rows;
  readonly training: Rows;
  readonly bounds: Float64Array;
  readonly slack: Float64Array;
  readonly own: Float64Array;
}

/** Measures the pair of the least bound, then whatever the bounds do not rule out after that. */
function search(
  { queries, training, bounds, slack, own }: Search,
  tell: (i: number, best: { index: number; squared: number }) => void,
): void {
  const [total, dims] = [training.shape[0], dimsOf(training)];
  const measure = (i: number, j: number) => squaredDistance(queries.data, i * dims, training.data, j * dims, dims);
  for (let i = 0; i < queries.shape[0]; i++) {
    const mine = bounds.subarray(i * total, (i + 1) * total);
    let index = leastOf(mine);
    let squared = measure(i, index);
    for (let j = 0; j < total; j++) {
      if (mine[j] - slack[j] - own[i] > squared) continue;
      const distance = measure(i, j);
      if (distance < squared || (distance === squared && j < index)) {
        index = j;
        squared = distance;
      }
    }
    tell(i, { index, squared });
  }
}

function leastOf(values: Float64Array): number {
  let least = 0;
  for (let j = 1; j < values.length; j++) if (values[j] < values[least]) least = j;
  return least;
}

function squaredDistance(x: Rows['data'], xBegin: number, y: Rows['data'], yBegin: number, dims: number): number {
  let sum = 0;
  for (let k = 0; k < dims; k++) {
    const away = x[xBegin + k] - y[yBegin + k];
    sum += away * away;
  }
  return sum;
}
