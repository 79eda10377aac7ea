// One row of a plan: ROW_FIELDS float64 numbers. src/diffusion/plan.ts reads the same layout.
//
//   start = clamp(a*x + b*model, -clip, clip)      or, where THRESHOLD_RATIO > 0, divided by a per-image quantile
//   x'    = x*W_X + model*W_MODEL + start*W_START + h1*W_H1 + h2*W_H2 + h3*W_H3 + saved*W_SAVED + z*SIGMA

export const TIMESTEP = 0; // what the network is told; a real number
export const A = 1;
export const B = 2;
export const CLIP = 3; // Infinity: no clipping
export const W_X = 4;
export const W_MODEL = 5;
export const W_START = 6;
export const W_H1 = 7;
export const W_H2 = 8;
export const W_H3 = 9;
export const W_SAVED = 10;
export const SIGMA = 11;
export const VARIANCE = 12; // one of the VARIANCE_ values below
export const LOG_VARIANCE_MIN = 13; // the range of VARIANCE_LEARNED_RANGE
export const LOG_VARIANCE_MAX = 14;
export const THRESHOLD_RATIO = 15; // 0: no dynamic thresholding
export const THRESHOLD_MAX = 16;
export const CALLS = 17; // network calls of this row: 1 or 0
export const ROW_FIELDS = 18;

export const VARIANCE_FIXED: f64 = 0; // sigma as it stands
export const VARIANCE_LEARNED: f64 = 1; // sigma times sqrt(v), v the model's second half of channels
export const VARIANCE_LEARNED_RANGE: f64 = 2; // sigma times exp(lv/2), lv between the bounds by v in [-1, 1]
