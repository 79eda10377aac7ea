// What losses and the variational bound sum over an image: squares, entropies and likelihoods, two pixels at a time in
// float64. A log-variance is lv = p + q*v, where v is float32 a pixel: what a network says of it, or anything if q is 0.
//
// Where `count` is odd, the value after an image is read and left out of the sum; `out` may be written one value further.

import { ln } from './math64';

/** The sum of (cx*x + cy*y - z)^2. */
export function squaredError(x: usize, cx: f64, y: usize, cy: f64, z: usize, count: i32): f64 {
  let sums = f64x2.splat(0);
  for (const end = x + (<usize>count << 2); x < end; ) {
    const target = f64x2.add(f64x2.mul(f64x2.splat(cx), pixels(x)), f64x2.mul(f64x2.splat(cy), pixels(y)));
    const error = f64x2.sub(target, pixels(z));
    x += 8;
    y += 8;
    z += 8;
    sums = f64x2.add(sums, within(f64x2.mul(error, error), x, end));
  }
  return total(sums);
}

/**
 * The sum of lv + (variance + scale*(x - y)^2) / e^lv: twice the cross entropy of N(x, variance) to N(y, e^lv) without
 * its ln 2pi a pixel, in nats, if the scale is 1.
 */
export function crossEntropy(
  x: usize, y: usize, scale: f64, variance: f64, v: usize, p: f64, q: f64, count: i32,
): f64 {
  let sums = f64x2.splat(0);
  for (const end = x + (<usize>count << 2); x < end; ) {
    const d = f64x2.sub(pixels(x), pixels(y));
    const spread = f64x2.add(f64x2.splat(variance), f64x2.mul(f64x2.splat(scale), f64x2.mul(d, d)));
    const lv = line(v, p, q);
    x += 8;
    y += 8;
    v += 8;
    sums = f64x2.add(sums, within(f64x2.add(lv, f64x2.mul(spread, exp(f64x2.neg(lv)))), x, end));
  }
  return total(sums);
}

/**
 * The sum of the log-likelihoods, in nats, of 8-bit values x in [-1, 1] under N(mean, e^lv): the mass of the bin of width
 * 2/255 around each, where the outermost bins reach to infinity (Ho et al. 2020, eq. 13), at least 1e-12. The normal
 * distribution's cdf(z) is (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2, as in OpenAI's code.
 */
export function discretized(x: usize, mean: usize, v: usize, p: f64, q: f64, count: i32): f64 {
  let sum: f64 = 0;
  for (const end = x + (<usize>count << 2); x < end; ) {
    const value = pixels(x);
    const d = f64x2.sub(value, pixels(mean));
    const precision = exp(f64x2.mul(line(v, p, q), f64x2.splat(-0.5)));
    const mass = f64x2.sub(
      v128.bitselect(f64x2.splat(1), cdf(d, 1.0 / 255, precision), f64x2.gt(value, f64x2.splat(0.999))),
      v128.andnot(cdf(d, -1.0 / 255, precision), f64x2.lt(value, f64x2.splat(-0.999))),
    );
    sum += ln(max(f64x2.extract_lane(mass, 0), 1e-12));
    x += 8;
    mean += 8;
    v += 8;
    if (x <= end) sum += ln(max(f64x2.extract_lane(mass, 1), 1e-12));
  }
  return sum;
}

/** out = lv, or e^lv. */
export function spreads(out: usize, v: usize, p: f64, q: f64, count: i32, exponential: bool): void {
  for (const end = out + (<usize>count << 2); out < end; out += 8) {
    const lv = line(v, p, q);
    v128.store64_lane(out, f32x4.demote_f64x2_zero(exponential ? exp(lv) : lv), 0);
    v += 8;
  }
}

/** out = ln v, where v is at least 1e-20, as diffusers bounds a variance. */
export function logs(out: usize, v: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 4) {
    store<f32>(out, <f32>ln(max(<f64>load<f32>(v), 1e-20)));
    v += 4;
  }
}

@inline
function pixels(at: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load64_zero(at));
}

@inline
function line(v: usize, p: f64, q: f64): v128 {
  return f64x2.add(f64x2.splat(p), f64x2.mul(f64x2.splat(q), pixels(v)));
}

// what two pixels add, of which the second may be past the end
@inline
function within(values: v128, next: usize, end: usize): v128 {
  return next > end ? f64x2.replace_lane(values, 1, 0) : values;
}

@inline
function total(sums: v128): f64 {
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
}

// (1 + tanh u)/2 with u = sqrt(2/pi) (z + 0.044715 z^3), z = (d + edge)*precision. The hyperbolic tangent, 2/(1 + e^-2u) - 1,
// and what follows are rounded to float32 as in OpenAI's code, whose figures depend on it where a likelihood is below 1e-5.
function cdf(d: v128, edge: f64, precision: v128): v128 {
  const z = f64x2.mul(f64x2.add(d, f64x2.splat(edge)), precision);
  const cubic = f64x2.add(f64x2.splat(22.363860002236386), f64x2.mul(z, z));
  // -2 sqrt(2/pi) 0.044715 z (z^2 + 1/0.044715)
  const e = exp(f64x2.mul(f64x2.mul(f64x2.splat(-0.07135481627260025), z), cubic));
  const tangent = f64x2.sub(f64x2.div(f64x2.splat(2), f64x2.add(f64x2.splat(1), e)), f64x2.splat(1));
  const sum = f32x4.add(f32x4.splat(1), f32x4.demote_f64x2_zero(tangent));
  return f64x2.promote_low_f32x4(f32x4.mul(f32x4.splat(0.5), sum));
}

// e^x = 2^k e^r with |r| <= ln(2)/2, for |x| < 700, where it stays. The series up to r^10 / 10! leaves out 2.2e-13 at most.
// ln 2 comes in two parts, of which the first has 21 trailing zero bits.
function exp(x: v128): v128 {
  x = f64x2.max(f64x2.min(x, f64x2.splat(700)), f64x2.splat(-700));
  const k = f64x2.nearest(f64x2.mul(x, f64x2.splat(1.4426950408889634)));
  const r = f64x2.sub(
    f64x2.sub(x, f64x2.mul(k, f64x2.splat(0.6931471803691238))),
    f64x2.mul(k, f64x2.splat(1.9082149292705877e-10)),
  );
  const one = v128.load64_splat(memory.data<f64>([1])); // not a constant of 18 bytes ten times over
  let p = series(one, one, r, 1.0 / 10);
  p = series(one, p, r, 1.0 / 9);
  p = series(one, p, r, 1.0 / 8);
  p = series(one, p, r, 1.0 / 7);
  p = series(one, p, r, 1.0 / 6);
  p = series(one, p, r, 1.0 / 5);
  p = series(one, p, r, 1.0 / 4);
  p = series(one, p, r, 1.0 / 3);
  p = series(one, p, r, 1.0 / 2);
  p = series(one, p, r, 1);
  const whole = i64x2.extend_low_i32x4_s(i32x4.trunc_sat_f64x2_s_zero(k));
  return f64x2.mul(p, i64x2.shl(i64x2.add(whole, i64x2.splat(1023)), 52));
}

// the factor 1 + p r/n of n terms
@inline
function series(one: v128, p: v128, r: v128, inverse: f64): v128 {
  return f64x2.add(one, f64x2.mul(f64x2.mul(r, f64x2.splat(inverse)), p));
}
