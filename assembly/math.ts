// float32x4 functions in strict SIMD: no fused multiply-add and no relaxed instruction, so every bit is the same on
// every machine. The polynomials are minimax fits of the relative error (Remez exchange at 160 bits), rounded to float32
// one coefficient at a time, lowest first, the rest fitted again after each. test/engine/kernelsMath.test.ts holds the bounds.

const SQRT_HALF_BITS = 0x3f3504f3; // float32 1/sqrt(2)
const MANTISSA = 0x007fffff;

/**
 * -2 ln(value * 2^-31) for float32 values in (0, 2^31], within 2.5 ulp.
 *
 * value = 2^(31+e) * m with m in [sqrt(1/2), sqrt(2)), and ln m = 2 atanh(s) with s = (m-1)/(m+1), |s| < 0.1716; so a
 * value near 2^31 loses nothing to cancellation.
 */
// @ts-ignore: decorator
@inline
export function minusTwoLog31(value: v128): v128 {
  const bits = i32x4.sub(value, i32x4.splat(SQRT_HALF_BITS + (31 << 23)));
  const m = i32x4.add(v128.and(bits, i32x4.splat(MANTISSA)), i32x4.splat(SQRT_HALF_BITS));
  const one = f32x4.splat(1);
  const s = f32x4.div(f32x4.sub(m, one), f32x4.add(m, one));
  // e * 2^23, left in its place in the word and converted as it stands
  const e = f32x4.convert_i32x4_s(v128.andnot(bits, i32x4.splat(MANTISSA)));
  return f32x4.add(f32x4.mul(e, f32x4.splat(MINUS_TWO_LN2_23)), f32x4.mul(s, minusFourAtanh(f32x4.mul(s, s))));
}

const MINUS_TWO_LN2_23: f32 = -1.6525916635146132e-7; // -2 ln 2 * 2^-23

// -4 atanh(s) / s in v = s^2 on [0, 0.02944]; relative error below 1.2e-7, which the square root to come halves
// @ts-ignore: decorator
@inline
function minusFourAtanh(v: v128): v128 {
  let p = f32x4.splat(-0.8259685635566711);
  p = f32x4.add(f32x4.mul(p, v), f32x4.splat(-1.3330435752868652));
  return f32x4.add(f32x4.mul(p, v), f32x4.splat(-4.000000476837158));
}

/** sin(pi/4 * y) for y in [-1, 1], within 1.5 ulp: an odd polynomial, relative error below 2.9e-8. */
// @ts-ignore: decorator
@inline
export function sinEighth(y: v128): v128 {
  const w = f32x4.mul(y, y);
  let p = f32x4.splat(-3.660915172076784e-5);
  p = f32x4.add(f32x4.mul(p, w), f32x4.splat(2.4910164065659046e-3));
  p = f32x4.add(f32x4.mul(p, w), f32x4.splat(-0.08074583113193512));
  return f32x4.mul(f32x4.add(f32x4.mul(p, w), f32x4.splat(0.7853981852531433)), y);
}

/**
 * exp(x), within 1.5 ulp over the whole range of float32: subnormal results are kept, NaN stays NaN.
 *
 * x = k ln 2 + r with |r| <= ln(2)/2; ln 2 in two parts, of which the first has 9 trailing zero bits, so that k times it
 * is exact. exp r = 1 + r + r^2 p(r), relative error below 3.2e-9. 2^k comes in two factors: 2^-149 is no normal number.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  x = f32x4.pmax(f32x4.pmin(x, f32x4.splat(89)), f32x4.splat(-104));
  const k = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.4426950216293335)));
  const r = f32x4.sub(
    f32x4.sub(x, f32x4.mul(k, f32x4.splat(LN2_HIGH))),
    f32x4.mul(k, f32x4.splat(LN2_LOW)),
  );
  let p = f32x4.splat(1.3838898157700896e-3);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.369192481040955e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.04166810214519501));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.16666516661643982));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.4999999403953552));
  p = f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r);
  const whole = i32x4.trunc_sat_f32x4_s(k);
  const half = i32x4.shr_s(whole, 1);
  return f32x4.mul(f32x4.mul(f32x4.add(p, f32x4.splat(1)), power(half)), power(i32x4.sub(whole, half)));
}

const LN2_HIGH: f32 = 0.693145751953125;
const LN2_LOW: f32 = 1.428606765330187e-06; // ln 2 - LN2_HIGH

// 2^k for k in -126..127
// @ts-ignore: decorator
@inline
function power(k: v128): v128 {
  return i32x4.shl(i32x4.add(k, i32x4.splat(127)), 23);
}
