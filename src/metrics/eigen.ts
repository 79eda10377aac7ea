import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** A symmetric matrix taken apart: row k of `vectors` is the unit eigenvector of `values[k]`. */
export interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/**
 * Eigenvalues and eigenvectors of a symmetric n x n matrix, in no particular order.
 *
 * @throws Error for a matrix that is not finite.
 */
export function eigenSymmetric(matrix: Float64Array, n: number): Eigen {
  if (!matrix.every(Number.isFinite)) throw new Error(`eigenSymmetric expected a finite matrix of ${n} x ${n}`);
  // entries of size 1, and none that vanish beside them: squares that underflow would cost the vectors their length
  const scale = 2 ** Math.floor(Math.log2(matrix.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1));
  const scaled = Array.from(matrix, (value) => (Math.abs(value / scale) < 1e-100 ? 0 : value / scale));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(Matrix.from1DArray(n, n, scaled), {
    assumeSymmetric: true,
  });
  const vectors = eigenvectorMatrix.transpose().to1DArray();
  return { values: Float64Array.from(realEigenvalues, (value) => value * scale), vectors: Float64Array.from(vectors) };
}
