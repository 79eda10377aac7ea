// Samplers that draw noise at every step but the last: consistency models and the reverse SDE.

import { LANGEVIN, SIGMA } from './row';
import { SUM, abarAt, addNoise, addStart, addX, askingRow, isBounded, predictionOf } from './planRow';
import { get, put } from './schedule';

const SIGMA_DATA = 0.5;

/**
 * Multistep consistency sampling of latent consistency models (Luo et al. 2023, algorithm 3): the network's image, mixed
 * with x by the boundary condition c_skip(0) = 1 of Song et al. 2023, then noise again. `scaling` multiplies t there.
 */
export function planLcm(rows: usize, timesteps: usize, n: i32, abar: usize, answer: usize, scaling: f64): i32 {
  for (let i = 0; i < n; i++) {
    const t = get(timesteps, i), at = abarAt(abar, t, 1);
    const as = i + 1 < n ? abarAt(abar, get(timesteps, i + 1), 1) : 1.0;
    const row = askingRow(rows, i, t, sqrt(at), sqrt(1 - at), answer);
    const scaled = t * scaling, size = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
    addX(row, SUM, (sqrt(as) * SIGMA_DATA * SIGMA_DATA) / size);
    addStart(row, SUM, (sqrt(as) * scaled) / sqrt(size));
    put(row, SIGMA, sqrt(1 - as));
  }
  return n;
}

/**
 * Euler-Maruyama on the reverse variance-preserving SDE, dx = (-beta/2 x - beta score) dt + sqrt(beta) dw with
 * score = -eps/noise (Song et al. 2021, eq. 6 and 11), n equal steps over the real `timesteps`. The last one adds no noise.
 * Before each, `corrections` steps of Langevin dynamics at its level, of signal-to-noise ratio `snr` (algorithm 5 there).
 */
export function planEulerMaruyama(
  rows: usize, timesteps: usize, n: i32, abar: usize, betas: usize, T: i32, answer: usize, corrections: i32, snr: f64,
): i32 {
  let count = 0;
  for (let i = 0; i < n; i++) {
    const t = get(timesteps, i);
    // abar falls exponentially between timesteps
    const at = Math.exp(between(abar, T, t, true)), beta = between(betas, T, t, false), b = (beta * T) / n;
    const signal = sqrt(at), noise = sqrt(1 - at);
    for (let j = 0; j < corrections; j++) {
      const row = askingRow(rows, count++, t, signal, noise, answer);
      addNoise(row, SUM, -1 / noise, signal, noise, predictionOf(answer), isBounded(answer));
      put(row, LANGEVIN, snr * sqrt(2 * (1 - beta)));
    }
    const row = askingRow(rows, count++, t, signal, noise, answer);
    addX(row, SUM, 1 + b / 2);
    addNoise(row, SUM, -b / noise, signal, noise, predictionOf(answer), isBounded(answer));
    if (i + 1 < n) put(row, SIGMA, sqrt(b));
  }
  return count;
}

/** A table's value, or its logarithm, at a real timestep. */
function between(values: usize, T: i32, t: f64, logarithm: bool): f64 {
  const i = min(<i32>t, T - 2), part = t - i;
  const low = get(values, i), high = get(values, i + 1);
  return logarithm ? (1 - part) * Math.log(low) + part * Math.log(high) : (1 - part) * low + part * high;
}
