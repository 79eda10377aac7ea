// exp of float32x4 in strict SIMD: no fused multiply-add, so every bit is the same on every machine.

/**
 * exp(x), within 1 ulp over the whole range of float32: subnormal results are kept, NaN stays NaN.
 *
 * x = k ln 2 + r with |r| <= ln(2)/2; ln 2 in two parts, of which the first has 9 trailing zero bits, so that k times it
 * is exact. exp r = 1 + r + r^2 p(r), p the minimax fit of exp's relative error (Remez exchange in 160 bits, rounded to
 * float32 one coefficient at a time, lowest first, the others fitted again after each): below 3.2e-9. 2^k comes in two
 * factors, since 2^-149 is no normal number.
 */
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
@inline
function power(k: v128): v128 {
  return i32x4.shl(i32x4.add(k, i32x4.splat(127)), 23);
}
