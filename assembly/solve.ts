// Vandermonde systems: the weights of a sum that is exact for the first polynomials.

import { get, put } from './schedule';

/**
 * Solves sum over k of w_k nodes_k^j = moments_j, j = 0 to n-1, leaving w where the moments were
 * (Golub and Van Loan 2013, algorithm 4.6.2). The nodes must differ.
 */
export function vandermonde(nodes: usize, moments: usize, n: i32): void {
  for (let k = 0; k < n - 1; k++) {
    for (let i = n - 1; i > k; i--) put(moments, i, get(moments, i) - get(nodes, k) * get(moments, i - 1));
  }
  for (let k = n - 2; k >= 0; k--) {
    for (let i = k + 1; i < n; i++) put(moments, i, get(moments, i) / (get(nodes, i) - get(nodes, i - k - 1)));
    for (let i = k; i < n - 1; i++) put(moments, i, get(moments, i) - get(moments, i + 1));
  }
}
