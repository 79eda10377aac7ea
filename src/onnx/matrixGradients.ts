import { floatOf, intOf } from './attributes.ts';
import { type Rule, type Step, span } from './step.ts';
import type { Value } from './values.ts';

/** Rules of matrix products. */
export const matrixRules = { MatMul: matrixProduct, Gemm: gemm } satisfies Record<string, Rule>;

// da = dy b^T, db = a^T dy
function matrixProduct(step: Step) {
  const {
    x: [a, b],
    dy,
    dims,
    reshape,
    matmul,
    flip,
    gemm,
  } = step;
  const [left, right] = [dims(a), dims(b)];
  // vectors as the matrices that they stand for: a row on the left, a column on the right
  const rows = left.length === 1 ? [1, ...left] : left;
  const columns = right.length === 1 ? [...right, 1] : right;
  const [m, k, n] = [rows[rows.length - 2], rows[rows.length - 1], columns[columns.length - 1]];
  const batch = dims(dy).slice(0, dims(dy).length - (left.length > 1 ? 1 : 0) - (right.length > 1 ? 1 : 0));
  const gradient = () => reshape(dy, [...batch, m, n]);

  // one matrix for a whole batch takes its gradient in one product, not in a batch of them that is summed
  const shared = columns.length === 2 && rows.length > 2;
  const flat = (value: Value, width: number) => reshape(value, [span(dims(value), 0) / width, width]);
  return [
    () => {
      const product = matmul(gradient(), flip(reshape(b, columns)));
      return left.length === 1 ? reshape(step.unbroadcast(product, rows), left) : product;
    },
    () => {
      if (shared) return reshape(gemm(flat(a, k), flat(dy, n), { transA: 1 }), right);
      const product = matmul(flip(reshape(a, rows)), gradient());
      return right.length === 1 ? reshape(step.unbroadcast(product, columns), right) : product;
    },
  ];
}

// y = alpha A B + beta C, with A and B transposed or not
function gemm({ operator, x: [a, b], dy, times, gemm }: Step) {
  const [alpha, beta] = ['alpha', 'beta'].map((name) => floatOf(operator, name, 1));
  const [transA, transB] = ['transA', 'transB'].map((name) => (intOf(operator, name, 0) ? 1 : 0));
  return [
    () => times(transA ? gemm(b, dy, { transA: transB, transB: 1 }) : gemm(dy, b, { transB: 1 - transB }), alpha),
    () => times(transB ? gemm(dy, a, { transA: 1, transB: transA }) : gemm(a, dy, { transA: 1 - transA }), alpha),
    () => times(dy, beta),
  ];
}
