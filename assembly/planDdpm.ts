// DDPM and DDIM: steps between the levels abar of the training timesteps.

import {
  LOG_VARIANCE_MAX, LOG_VARIANCE_MIN, SIGMA, VARIANCE, VARIANCE_LEARNED, VARIANCE_LEARNED_RANGE,
} from './row';
import { SUM, abarAt, addNoise, addStart, addX, askingRow, predictionOf } from './planRow';
import { get, put } from './schedule';

export const FIXED_SMALL: i32 = 0; // the posterior variance, also under the name fixed_small_log
export const FIXED_LARGE: i32 = 1; // beta of the step, also under the name fixed_large_log
export const LEARNED: i32 = 2;
export const LEARNED_RANGE: i32 = 3;

/**
 * Ancestral sampling (Ho et al. 2020, algorithm 2) between the given timesteps, which descend.
 * No noise follows the last row. The step's beta is that of the jump, not of one step of training.
 */
export function planDdpm(rows: usize, timesteps: usize, n: i32, abar: usize, answer: usize, variance: i32): i32 {
  for (let i = 0; i < n; i++) {
    const at = abarAt(abar, get(timesteps, i), 1), as = i + 1 < n ? abarAt(abar, get(timesteps, i + 1), 1) : 1.0;
    const row = askingRow(rows, i, get(timesteps, i), sqrt(at), sqrt(1 - at), answer);

    // the posterior q(x_s | x_t, x_0), eq. 6 and 7
    const alpha = at / as, beta = 1 - alpha;
    addStart(row, SUM, (sqrt(as) * beta) / (1 - at));
    addX(row, SUM, (sqrt(alpha) * (1 - as)) / (1 - at));

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
  return n;
}

/**
 * DDIM (Song et al. 2021, eq. 12 and 16): eta 0 is deterministic, eta 1 has the variance of the posterior.
 * `finalAbar` is the level after the last row. With `rederive` the noise follows from the clipped start.
 */
export function planDdim(
  rows: usize, timesteps: usize, n: i32, abar: usize, answer: usize, finalAbar: f64, eta: f64, rederive: bool,
): i32 {
  for (let i = 0; i < n; i++) {
    const at = abarAt(abar, get(timesteps, i), 1);
    const as = i + 1 < n ? abarAt(abar, get(timesteps, i + 1), 1) : finalAbar;
    const sigma = eta * sqrt(((1 - as) / (1 - at)) * (1 - at / as));
    const row = askingRow(rows, i, get(timesteps, i), sqrt(at), sqrt(1 - at), answer);
    addStart(row, SUM, sqrt(as));
    const rest = sqrt(max(1 - as - sigma * sigma, 0));
    addNoise(row, SUM, rest, sqrt(at), sqrt(1 - at), predictionOf(answer), rederive);
    put(row, SIGMA, sigma);
  }
  return n;
}

/**
 * DDIM run backwards (Song et al. 2021, section 4.3): from an image towards noise, over ascending timesteps.
 * The network is asked at the level that the row goes to; `initialAbar` is the level of the image.
 */
export function planDdimInverse(
  rows: usize, timesteps: usize, n: i32, abar: usize, answer: usize, initialAbar: f64,
): i32 {
  for (let i = 0; i < n; i++) {
    const at = i > 0 ? abarAt(abar, get(timesteps, i - 1), 1) : initialAbar;
    const as = abarAt(abar, get(timesteps, i), 1);
    const row = askingRow(rows, i, get(timesteps, i), sqrt(at), sqrt(1 - at), answer);
    addStart(row, SUM, sqrt(as));
    addNoise(row, SUM, sqrt(1 - as), sqrt(at), sqrt(1 - at), predictionOf(answer), false);
  }
  return n;
}
