import { dimsOf, floatsOf, type Rows } from './rows.ts';
import { shuffler } from './shuffle.ts';
import { squaredNorms } from './tiles.ts';

// what images of clothes, digits and faces have most of their variance in
const axes = 32;
const fittedRows = 2000;
const rounds = 4;

/** A map to fewer dimensions that makes no distance longer. */
export type Projection = (rows: Rows) => Rows;

/**
 * Fits a map from rows [n, D] to rows [n, 33] whose distances are lower bounds of those between the rows themselves: the
 * coordinates on 32 orthonormal axes, and the length of what is left over, by the triangle inequality. Along the axes of
 * most variance the bound is close. Rows of few numbers stay as they are.
 */
export function fitProjection(rows: Rows): Projection {
  const dims = dimsOf(rows);
  if (dims <= 2 * axes) return (same) => same;
  const { mean, centred } = centredSample(rows);
  const basis = principalAxes(centred, dims);
  return (others) => project(others, mean, basis);
}

/**
 * The most that rounding may have added to a squared bound, one part for each of its two rows: coordinates are float32,
 * so a projected row x is off by at most 6e-8 |x|, and a squared distance by less than 5e-7 (|x|^2 + |y|^2).
 */
export function slackOf(projected: Rows): Float64Array {
  return squaredNorms(projected).map((norm) => 1e-6 * norm);
}

function project(rows: Rows, mean: Float64Array, basis: readonly Float64Array[]): Rows {
  const [count, width] = [rows.shape[0], basis.length + 1];
  const data = new Float32Array(count * width);
  const away = new Float64Array(mean.length);
  for (let row = 0; row < count; row++) {
    subtract(floatsOf(rows, row, row + 1), mean, away);
    let left = dot(away, away);
    for (const [i, axis] of basis.entries()) {
      const coordinate = dot(away, axis);
      data[row * width + i] = coordinate;
      left -= coordinate * coordinate;
    }
    data[row * width + width - 1] = Math.sqrt(Math.max(0, left));
  }
  return { data, shape: [count, width] };
}

/** Up to 2000 rows from all over the set, less their mean. */
function centredSample(rows: Rows): { mean: Float64Array; centred: Float64Array[] } {
  const count = Math.min(fittedRows, rows.shape[0]);
  const mean = new Float64Array(dimsOf(rows));
  const chosen = Array.from({ length: count }, (_, i) => Math.floor((i * rows.shape[0]) / count));
  const centred = chosen.map((row) => Float64Array.from(floatsOf(rows, row, row + 1)));
  for (const row of centred) for (let i = 0; i < mean.length; i++) mean[i] += row[i] / count;
  for (const row of centred) subtract(row, mean, row);
  return { mean, centred };
}

/** Orthonormal axes near those of most variance: subspace iteration from random ones (Halko et al. 2011, section 4.5). */
function principalAxes(centred: readonly Float64Array[], dims: number): Float64Array[] {
  const random = shuffler(0);
  let basis = orthonormal(Array.from({ length: axes }, () => Float64Array.from(random(dims), (n) => n - dims / 2)));
  for (let round = 0; round < rounds; round++) {
    const next = basis.map(() => new Float64Array(dims));
    for (const row of centred) for (const [i, axis] of basis.entries()) addScaled(next[i], row, dot(row, axis));
    basis = orthonormal(next);
  }
  return basis;
}

/** Gram and Schmidt's method, twice, so that rounding leaves nothing; directions that are none drop out. */
function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const basis: Float64Array[] = [];
  for (const vector of vectors) {
    const size = Math.sqrt(dot(vector, vector));
    for (const axis of [...basis, ...basis]) addScaled(vector, axis, -dot(vector, axis));
    const left = Math.sqrt(dot(vector, vector));
    if (!(left > 1e-9 * size)) continue;
    basis.push(vector.map((value) => value / left));
  }
  return basis;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function addScaled(to: Float64Array, from: Float64Array, scale: number): void {
  for (let i = 0; i < to.length; i++) to[i] += scale * from[i];
}

function subtract(from: Float64Array | Float32Array, mean: Float64Array, into: Float64Array): void {
  for (let i = 0; i < mean.length; i++) into[i] = from[i] - mean[i];
}
