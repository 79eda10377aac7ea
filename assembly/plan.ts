// Plans: one function per sampler fills a table of rows (row.ts) from the schedule's abar, with no state and no pixels.

import {
  A, B, CALLS, CLIP, LOG_VARIANCE_MAX, LOG_VARIANCE_MIN, ROW_FIELDS, SIGMA, THRESHOLD_MAX, THRESHOLD_RATIO, TIMESTEP,
  VARIANCE, VARIANCE_FIXED, VARIANCE_LEARNED, VARIANCE_LEARNED_RANGE, W_MODEL, W_START, W_X,
} from './row';
import { get, put } from './schedule';

export const EPSILON: i32 = 0;
export const SAMPLE: i32 = 1;
export const V_PREDICTION: i32 = 2;

export const FIXED_SMALL: i32 = 0; // the posterior variance, also under the name fixed_small_log
export const FIXED_LARGE: i32 = 1; // beta of the step, also under the name fixed_large_log
export const LEARNED: i32 = 2;
export const LEARNED_RANGE: i32 = 3;

/**
 * Ancestral sampling (Ho et al. 2020, algorithm 2) between the given timesteps, which descend.
 * No noise follows the last row. The step's beta is that of the jump, not of one step of training.
 */
export function planDdpm(
  rows: usize, timesteps: usize, n: i32, abar: usize,
  prediction: i32, clip: f64, thresholdRatio: f64, thresholdMax: f64, variance: i32,
): void {
  for (let i = 0; i < n; i++) {
    const row = newRow(rows, i, get(timesteps, i), clip, thresholdRatio, thresholdMax);
    const at = abarAt(abar, get(timesteps, i)), as = i + 1 < n ? abarAt(abar, get(timesteps, i + 1)) : 1.0;
    predictStart(row, at, prediction);

    // the posterior q(x_s | x_t, x_0), eq. 6 and 7
    const alpha = at / as, beta = 1 - alpha;
    put(row, W_START, (sqrt(as) * beta) / (1 - at));
    put(row, W_X, (sqrt(alpha) * (1 - as)) / (1 - at));

    if (i + 1 == n) continue;
    const small = max(((1 - as) / (1 - at)) * beta, 1e-20);
    put(row, SIGMA, variance == FIXED_SMALL ? sqrt(small) : variance == FIXED_LARGE ? sqrt(beta) : 1.0);
    if (variance == LEARNED) put(row, VARIANCE, VARIANCE_LEARNED);
    if (variance == LEARNED_RANGE) {
      put(row, VARIANCE, VARIANCE_LEARNED_RANGE);
      put(row, LOG_VARIANCE_MIN, Math.log(small));
      put(row, LOG_VARIANCE_MAX, Math.log(beta));
    }
  }
}

/**
 * DDIM (Song et al. 2021, eq. 12 and 16): eta 0 is deterministic, eta 1 has the variance of the posterior.
 * `finalAbar` is the level after the last row. With `rederive` the noise follows from the clipped start.
 */
export function planDdim(
  rows: usize, timesteps: usize, n: i32, abar: usize,
  prediction: i32, clip: f64, thresholdRatio: f64, thresholdMax: f64, finalAbar: f64, eta: f64, rederive: bool,
): void {
  for (let i = 0; i < n; i++) {
    const row = newRow(rows, i, get(timesteps, i), clip, thresholdRatio, thresholdMax);
    const at = abarAt(abar, get(timesteps, i)), as = i + 1 < n ? abarAt(abar, get(timesteps, i + 1)) : finalAbar;
    const sigma = eta * sqrt(((1 - as) / (1 - at)) * (1 - at / as));
    predictStart(row, at, prediction);
    put(row, W_START, sqrt(as));
    addNoiseEstimate(row, sqrt(max(1 - as - sigma * sigma, 0)), at, prediction, rederive);
    put(row, SIGMA, sigma);
  }
}

/**
 * DDIM run backwards (Song et al. 2021, section 4.3): from an image towards noise, over ascending timesteps.
 * The network is asked at the level that the row goes to; `initialAbar` is the level of the image.
 */
export function planDdimInverse(
  rows: usize, timesteps: usize, n: i32, abar: usize,
  prediction: i32, clip: f64, thresholdRatio: f64, thresholdMax: f64, initialAbar: f64,
): void {
  for (let i = 0; i < n; i++) {
    const row = newRow(rows, i, get(timesteps, i), clip, thresholdRatio, thresholdMax);
    const at = i > 0 ? abarAt(abar, get(timesteps, i - 1)) : initialAbar, as = abarAt(abar, get(timesteps, i));
    predictStart(row, at, prediction);
    put(row, W_START, sqrt(as));
    addNoiseEstimate(row, sqrt(1 - as), at, prediction, false);
  }
}

/** start = a*x + b*model, by what the model predicts. */
function predictStart(row: usize, at: f64, prediction: i32): void {
  if (prediction == EPSILON) {
    put(row, A, 1 / sqrt(at));
    put(row, B, -sqrt(1 - at) / sqrt(at));
  } else if (prediction == SAMPLE) {
    put(row, B, 1);
  } else {
    put(row, A, sqrt(at));
    put(row, B, -sqrt(1 - at));
  }
}

/** Adds weight * eps to the row, eps being what the model says the noise in x is, or what the start implies. */
function addNoiseEstimate(row: usize, weight: f64, at: f64, prediction: i32, rederive: bool): void {
  const signal = sqrt(at), noise = sqrt(1 - at);
  if (rederive) {
    add(row, W_X, weight / noise);
    add(row, W_START, (-weight * signal) / noise);
  } else if (prediction == EPSILON) {
    add(row, W_MODEL, weight);
  } else if (prediction == SAMPLE) {
    add(row, W_X, weight / noise);
    add(row, W_MODEL, (-weight * signal) / noise);
  } else {
    add(row, W_X, weight * noise);
    add(row, W_MODEL, weight * signal);
  }
}

function newRow(rows: usize, i: i32, timestep: f64, clip: f64, thresholdRatio: f64, thresholdMax: f64): usize {
  const row = rows + (<usize>(i * ROW_FIELDS) << 3);
  memory.fill(row, 0, ROW_FIELDS << 3);
  put(row, TIMESTEP, timestep);
  put(row, CLIP, clip);
  put(row, VARIANCE, VARIANCE_FIXED);
  put(row, THRESHOLD_RATIO, thresholdRatio);
  put(row, THRESHOLD_MAX, thresholdMax);
  put(row, CALLS, 1);
  return row;
}

// @ts-ignore: decorator
@inline
function abarAt(abar: usize, timestep: f64): f64 {
  return get(abar, <i32>timestep);
}

// @ts-ignore: decorator
@inline
function add(row: usize, field: i32, value: f64): void {
  put(row, field, get(row, field) + value);
}
