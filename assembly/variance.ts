// Noise scaled by a learned variance, one value a pixel (Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic
// Models", 2021, equation 15, and diffusers' `learned`).

import { exp } from './math';
import * as Row from './row';
import { loadPart, storePart } from './tail';

/**
 * out = sigma * noise, where sigma is SIGMA*sqrt(v) with v >= 0 (VARIANCE_LEARNED), or SIGMA*exp(lv/2) with lv between the
 * bounds of the row as v goes from -1 to 1 (VARIANCE_LEARNED_RANGE). `out` may be `noise`.
 */
export function scaleNoise(out: usize, noise: usize, row: usize, variance: usize, bytes: usize): void {
  const range = load<f64>(row + (Row.VARIANCE << 3)) == Row.VARIANCE_LEARNED_RANGE;
  const scale = splat(row, Row.SIGMA);
  const low = splat(row, Row.LOG_VARIANCE_MIN);
  const high = splat(row, Row.LOG_VARIANCE_MAX);
  for (let i: usize = 0; i < bytes; i += 16) {
    const rest = min(bytes - i, 16);
    const v = loadPart(variance + i, rest);
    const deviation = range ? fromRange(v, low, high) : f32x4.sqrt(f32x4.pmax(v, f32x4.splat(0)));
    storePart(out + i, f32x4.mul(f32x4.mul(scale, deviation), loadPart(noise + i, rest)), rest);
  }
}

// exp(lv/2) with f = (v+1)/2, lv = f*high + (1-f)*low
function fromRange(v: v128, low: v128, high: v128): v128 {
  const one = f32x4.splat(1);
  const half = f32x4.splat(0.5);
  const f = f32x4.mul(f32x4.add(v, one), half);
  const logVariance = f32x4.add(f32x4.mul(f, high), f32x4.mul(f32x4.sub(one, f), low));
  return exp(f32x4.mul(logVariance, half));
}

@inline
function splat(row: usize, field: i32): v128 {
  return f32x4.splat(<f32>load<f64>(row + (field << 3)));
}
