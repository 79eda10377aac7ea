import { wrongValue } from '../core/errors.ts';
import { eigenSymmetric } from './eigen.ts';
import { assertRows, dimsOf, type Rows, rowsBetween } from './rows.ts';

const jackknifeBlocks = 20;
/** The fewest samples that the jackknife of a Frechet distance takes. */
export const leastRows = 2 * jackknifeBlocks;
// the time of a distance grows with the cube of the features: nothing with 64, minutes with 2048
const mostDimsWithError = 256;

/** The normal distribution fitted to a set of feature rows, kept so that sets can be pooled. */
export interface Gaussian {
  /** How many rows. */
  readonly count: number;
  /** [D] */
  readonly mean: Float64Array;
  /** [D, D], the sum over rows of (row - mean)(row - mean)': (count - 1) times the covariance. */
  readonly scatter: Float64Array;
}

/** A distance, and how far another set of as many samples would be from it: one standard deviation. */
export interface Distance {
  readonly distance: number;
  readonly standardError: number;
}

/** How to take a Frechet distance. */
export interface FrechetOptions {
  /** Whether to estimate the standard error, at the cost of 20 more distances. Default: for 40 rows of up to 256 numbers. */
  readonly standardError?: boolean;
}

/**
 * The squared Frechet distance of the normal distributions fitted to two sets of feature rows [n, D]: FID, where the
 * features are Inception's (Heusel et al. 2017, eq. 6). It shrinks as either set grows: compare equal numbers of rows.
 *
 * @param reference rows, or what `fitGaussian` made of them, to be fitted once for many comparisons
 * @throws RangeError for fewer than 2 rows, or fewer than 40 samples where the error is asked for
 */
export function frechetDistance(
  samples: Rows,
  reference: Rows | Gaussian,
  options: FrechetOptions = {},
): { readonly distance: number; readonly standardError?: number } {
  assertRows(samples, 'samples', 2);
  const real = 'scatter' in reference ? reference : fitGaussian(reference, 'reference');
  const cheap = dimsOf(samples) <= mostDimsWithError && samples.shape[0] >= leastRows;
  const { standardError = cheap } = options;
  return standardError ? frechetWithError(samples, real) : { distance: frechet(fitGaussian(samples, 'samples'), real) };
}

/**
 * The squared Frechet distance of two normal distributions (Dowson and Landau 1982; Heusel et al. 2017, eq. 6):
 *
 *     |m1 - m2|^2 + tr(C1 + C2 - 2 (C2^1/2 C1 C2^1/2)^1/2)
 *
 * Covariances are over count - 1. Everything is float64; a distance of 0 comes out as up to about 1e-7 of tr(C1) where
 * a covariance is singular, as the square root amplifies rounding there.
 */
export function frechet(a: Gaussian, b: Gaussian): number {
  return distanceTo(b)(a);
}

/**
 * The distance of samples from what they should be, with its standard error over the samples: the jackknife that leaves
 * out one block of consecutive rows at a time (Efron 1982, chapter 3). Where classes take turns every block has as many
 * of each, so that the error is that of samples whose classes are not left to chance.
 */
export function frechetWithError(samples: Rows, real: Gaussian): Distance {
  assertRows(samples, 'samples', leastRows);
  const count = samples.shape[0];
  const blocks = Array.from({ length: jackknifeBlocks }, (_, i) => {
    const [begin, end] = [i, i + 1].map((at) => Math.round((at * count) / jackknifeBlocks));
    return fitGaussian(rowsBetween(samples, begin, end), 'samples');
  });
  const toReal = distanceTo(real);
  const without = blocks.map((left) => toReal(pool(blocks.filter((block) => block !== left))));
  const mean = without.reduce((sum, d) => sum + d, 0) / jackknifeBlocks;
  const spread = without.reduce((sum, d) => sum + (d - mean) ** 2, 0);
  return {
    distance: toReal(pool(blocks)),
    standardError: Math.sqrt((spread * (jackknifeBlocks - 1)) / jackknifeBlocks),
  };
}

/** Mean and scatter of feature rows [count, D], in two passes. @throws RangeError for numbers that are not finite. */
export function fitGaussian(rows: Rows, argument = 'rows'): Gaussian {
  assertRows(rows, argument);
  const [count, n] = [rows.shape[0], dimsOf(rows)];
  const { data } = rows;
  const mean = new Float64Array(n);
  for (let i = 0; i < data.length; i++) mean[i % n] += data[i] / count;
  const scatter = new Float64Array(n * n);
  const away = new Float64Array(n);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < n; i++) away[i] = data[row * n + i] - mean[i];
    addUpperOuter(scatter, away);
  }
  mirror(scatter, n);
  return { count, mean, scatter };
}

/** The Gaussian of several sets taken together: Chan, Golub and LeVeque 1983, eq. 2.1. */
export function pool(sets: readonly Gaussian[]): Gaussian {
  return sets.reduce((a, b) => {
    const count = a.count + b.count;
    const away = b.mean.map((m, i) => m - a.mean[i]);
    const scatter = a.scatter.map((s, i) => s + b.scatter[i]);
    addOuter(scatter, away, (a.count * b.count) / count);
    return { count, mean: a.mean.map((m, i) => m + (away[i] * b.count) / count), scatter };
  });
}

/** The distance from one Gaussian, whose root is taken once. */
function distanceTo(b: Gaussian): (a: Gaussian) => number {
  const n = b.mean.length;
  const c2 = covariance(b);
  const root = squareRoot(c2, n);
  return (a) => {
    if (a.mean.length !== n) throw wrongValue('a', `${n} features, as many as b`, a.mean.length);
    const c1 = covariance(a);
    const { values } = eigenSymmetric(symmetric(product(product(root, c1, n), root, n), n), n);
    const apart = a.mean.reduce((sum, m, i) => sum + (m - b.mean[i]) ** 2, 0);
    // what is negative is rounding: the product is positive semidefinite
    const shared = values.reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
    return apart + trace(c1, n) + trace(c2, n) - 2 * shared;
  };
}

/** Adds v v' to the upper triangle of a matrix. */
function addUpperOuter(matrix: Float64Array, v: Float64Array): void {
  const n = v.length;
  for (let i = 0; i < n; i++) {
    const scaled = v[i];
    for (let j = i; j < n; j++) matrix[i * n + j] += scaled * v[j];
  }
}

function mirror(matrix: Float64Array, n: number): void {
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) matrix[i * n + j] = matrix[j * n + i];
}

/** Adds weight * v v' to a matrix. */
function addOuter(matrix: Float64Array, v: Float64Array, weight: number): void {
  const n = v.length;
  for (let i = 0; i < n; i++) {
    const scaled = weight * v[i];
    for (let j = 0; j < n; j++) matrix[i * n + j] += scaled * v[j];
  }
}

function covariance({ count, scatter }: Gaussian): Float64Array {
  if (count < 2) throw wrongValue('count', 'at least 2 rows for a covariance', count);
  return scatter.map((s) => s / (count - 1));
}

/** V' diag(sqrt(values)) V */
function squareRoot(matrix: Float64Array, n: number): Float64Array {
  const { values, vectors } = eigenSymmetric(matrix, n);
  const root = new Float64Array(n * n);
  for (const [k, value] of values.entries())
    addOuter(root, vectors.subarray(k * n, (k + 1) * n), Math.sqrt(Math.max(0, value)));
  return root;
}

function product(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < n; k++) {
      const weight = a[i * n + k];
      for (let j = 0; j < n; j++) out[i * n + j] += weight * b[k * n + j];
    }
  return out;
}

/** The mean of a matrix and its transpose, which differ by rounding only. */
function symmetric(matrix: Float64Array, n: number): Float64Array {
  return matrix.map((value, at) => (value + matrix[(at % n) * n + Math.floor(at / n)]) / 2);
}

function trace(matrix: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += matrix[i * n + i];
  return sum;
}
