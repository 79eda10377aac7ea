// One row of a plan: ROW_FIELDS float64 numbers. src/diffusion/plan.ts reads the same layout.
//
//   start = clamp(a*x + b*model, -clip, clip)      or, where THRESHOLD_RATIO > 0, divided by a per-image quantile
//   x'    = x*W_X + model*W_MODEL + start*W_START + h1*W_H + ... + h6*(W_H + 5) + z*SIGMA
//   h     = x*S_X + model*S_MODEL + start*S_START, kept in the slot STORE for the rows that follow, of the x before the row

export const TIMESTEP = 0; // what the network is told; a real number
export const A = 1;
export const B = 2;
export const CLIP = 3; // Infinity: no clipping
export const W_X = 4;
export const W_MODEL = 5;
export const W_START = 6;
export const W_H = 7; // the weight of slot 1; those of slots 2 to 6 follow
export const SLOTS = 6;
export const SIGMA = 13;
export const VARIANCE = 14; // one of the VARIANCE_ values below
export const LOG_VARIANCE_MIN = 15; // the range of VARIANCE_LEARNED_RANGE
export const LOG_VARIANCE_MAX = 16;
export const THRESHOLD_RATIO = 17; // 0: no dynamic thresholding
export const THRESHOLD_MAX = 18;
export const CALLS = 19; // network calls of this row: 1 or 0
export const STORE = 20; // a slot, 1 to 6, or 0
export const S_X = 21;
export const S_MODEL = 22;
export const S_START = 23;
export const LANGEVIN = 24; // 0: none; else the weights add up to a score, which src/diffusion/langevin.ts takes a step along
export const ROW_FIELDS = 25;

export const VARIANCE_FIXED: f64 = 0; // sigma as it stands
export const VARIANCE_LEARNED: f64 = 1; // sigma times sqrt(v), v the model's second half of channels
export const VARIANCE_LEARNED_RANGE: f64 = 2; // sigma times exp(lv/2), lv between the bounds by v in [-1, 1]
