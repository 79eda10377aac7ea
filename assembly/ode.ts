// What following an ordinary differential equation does to pixels: combinations of stages, the size of an error, probes.

import { loadPart } from './tail';

/**
 * out = the sum of weight*source over `n` terms, each a pair of float64 numbers: a pointer, then a weight. Summed in float64,
 * rounded once; `out` may be a source.
 */
export function combine(out: usize, terms: usize, n: i32, count: i32): void {
  const bytes = <usize>count << 2;
  const end = terms + (<usize>n << 4);
  for (let at: usize = 0; at < bytes; at += 8) {
    let sum = f64x2.splat(0);
    for (let term = terms; term < end; term += 16) {
      const source = v128.load64_zero(<usize>load<f64>(term) + at);
      sum = f64x2.add(sum, f64x2.mul(v128.load64_splat(term, 8), f64x2.promote_low_f32x4(source)));
    }
    const values = f32x4.demote_f64x2_zero(sum);
    if (bytes - at > 4) v128.store64_lane(out + at, values, 0);
    else v128.store32_lane(out + at, values, 0);
  }
}

/** The sum of (error / (tolerance + tolerance*max(|x|, |y|)))^2, in float64. */
export function scaledError(error: usize, x: usize, y: usize, count: i32, tolerance: f64): f64 {
  const bytes = <usize>count << 2;
  const one = f64x2.splat(1);
  let sums = f64x2.splat(0);
  for (let at: usize = 0; at < bytes; at += 8) {
    const rest = min(bytes - at, 8);
    const size = f32x4.max(f32x4.abs(loadPart(x + at, rest)), f32x4.abs(loadPart(y + at, rest)));
    const part = f64x2.div(
      f64x2.promote_low_f32x4(loadPart(error + at, rest)),
      f64x2.add(one, f64x2.promote_low_f32x4(size)),
    );
    sums = f64x2.add(sums, f64x2.mul(part, part));
  }
  return (f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1)) / (tolerance * tolerance);
}

/**
 * Turns normal deviates into probes of +-1 in place: the deviate's sign times that of row `row` of Hadamard's matrix, whose
 * rows are orthogonal, so that probes of the same deviates are too.
 */
export function signs(values: usize, count: i32, row: i32): void {
  for (let i = 0; i < count; i++) {
    const at = values + (<usize>i << 2);
    store<u32>(at, ((load<u32>(at) ^ (popcnt<u32>(i & row) << 31)) & 0x80000000) | 0x3f800000);
  }
}
