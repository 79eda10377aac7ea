// Two images to one, and what decides whether an image is one.

import { loadPart, storePart } from './tail';

/**
 * out = cx*x + cy*y for `images` images of `pixels` elements; `coefficients` holds a float64 pair (cx, cy) an image, each
 * cast to float32 once. `out` may be `x` or `y`.
 */
export function mix(out: usize, x: usize, y: usize, coefficients: usize, images: i32, pixels: i32): void {
  const bytes = <usize>pixels << 2;
  const whole = bytes & ~15;
  for (let i = 0; i < images; i++) {
    const cx = f32x4.splat(<f32>load<f64>(coefficients));
    const cy = f32x4.splat(<f32>load<f64>(coefficients, 8));
    for (let at: usize = 0; at < whole; at += 16) {
      v128.store(out + at, sum(cx, v128.load(x + at), cy, v128.load(y + at)));
    }
    if (whole < bytes) {
      const rest = bytes - whole;
      storePart(out + whole, sum(cx, loadPart(x + whole, rest), cy, loadPart(y + whole, rest)), rest);
    }
    out += bytes;
    x += bytes;
    y += bytes;
    coefficients += 16;
  }
}

@inline
function sum(cx: v128, x: v128, cy: v128, y: v128): v128 {
  return f32x4.add(f32x4.mul(cx, x), f32x4.mul(cy, y));
}

/** 1 if none of the float32 values is NaN or infinite. */
export function finite(values: usize, count: i32): i32 {
  const exponent = i32x4.splat(0x7f800000);
  let bad = i32x4.splat(0);
  const bytes = <usize>count << 2;
  const whole = bytes & ~15;
  for (let at: usize = 0; at < whole; at += 16) {
    bad = v128.or(bad, i32x4.eq(v128.and(v128.load(values + at), exponent), exponent));
  }
  if (whole < bytes) {
    bad = v128.or(bad, i32x4.eq(v128.and(loadPart(values + whole, bytes - whole), exponent), exponent));
  }
  return i32(!v128.any_true(bad));
}
