// The samplers of Karras et al. 2022 (Elucidating the Design Space of Diffusion-Based Generative Models) and of
// k-diffusion: steps on dx/dsigma = eps with x in units of the image, x = x_0 + sigma*eps.
//
// A plan's x is that x times signal(sigma). Only after the last row it is left in units of the image.

import { SIGMA } from './row';
import {
  SUM, addNoiseAt, addSlot, addStart, addX, askingAt, keepNoiseAt, restingRow, signalOf,
} from './planRow';
import { get, put } from './schedule';
import { timestepOf } from './sigmas';

// the churn of algorithm 2, four numbers: how much, from which sigma, to which, and how strong its noise is
const CHURN = 0;
const CHURN_MIN = 1;
const CHURN_MAX = 2;
const CHURN_NOISE = 3;

/** Euler's method, with algorithm 2's churn: noise added before a step, which then starts at a higher sigma. */
export function planEuler(
  rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize, churn: usize, table: usize,
): i32 {
  let count = 0;
  for (let i = 0; i < n; i++) {
    const s = raise(rows, count, timesteps, sigmas, i, n, churn, table);
    if (s > get(sigmas, i)) count++;
    const timestep = s > get(sigmas, i) ? raisedTimestep : get(timesteps, i);
    const t = get(sigmas, i + 1);
    eulerRow(rows, count++, timestep, s, t, unitAt(t, i + 1 == n), answer);
  }
  return count;
}

/** Heun's method (algorithm 1, and 2 with churn): Euler's step, then its slope averaged with the one at its end. */
export function planHeun(
  rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize, churn: usize, table: usize,
): i32 {
  let count = 0;
  for (let i = 0; i < n; i++) {
    const t = get(sigmas, i + 1), last = i + 1 == n;
    const s = raise(rows, count, timesteps, sigmas, i, n, churn, table);
    if (s > get(sigmas, i)) count++;
    const timestep = s > get(sigmas, i) ? raisedTimestep : get(timesteps, i);
    const row = eulerRow(rows, count++, timestep, s, t, unitAt(t, last && t == 0), answer);
    if (t == 0) continue;
    keepNoiseAt(row, 1, s, answer);

    // x' = x_euler + (t - s)*(eps' - eps)/2
    const next = last ? timestepOf(t, table) : get(timesteps, i + 1);
    const second = askingAt(rows, count++, next, t, answer);
    addX(second, SUM, unitAt(t, last) / signalOf(t));
    addNoiseAt(second, SUM, (unitAt(t, last) * (t - s)) / 2, t, answer);
    addSlot(second, 1, (-unitAt(t, last) * (t - s)) / 2);
  }
  return count;
}

/** The midpoint rule in log(sigma), DPM-Solver-2 as k-diffusion writes it. With eta, ancestral: down first, then noise. */
export function planDpm2(
  rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize, eta: f64, table: usize,
): i32 {
  let count = 0;
  for (let i = 0; i < n; i++) {
    const s = get(sigmas, i), t = get(sigmas, i + 1), last = i + 1 == n;
    const up = upOf(s, t, eta), down = sqrt(max(t * t - up * up, 0));
    if (down == 0) {
      const row = eulerRow(rows, count++, get(timesteps, i), s, 0, unitAt(t, last), answer);
      put(row, SIGMA, up * unitAt(t, last));
      continue;
    }
    const middle = sqrt(s * down);
    const row = eulerRow(rows, count++, get(timesteps, i), s, middle, signalOf(middle), answer);
    keepNoiseAt(row, 1, s, answer);

    // x' = x + (down - s)*eps_middle + up*z, where x = x_middle - (middle - s)*eps
    const second = askingAt(rows, count++, timestepOf(middle, table), middle, answer);
    addX(second, SUM, unitAt(t, last) / signalOf(middle));
    addNoiseAt(second, SUM, unitAt(t, last) * (down - s), middle, answer);
    addSlot(second, 1, -unitAt(t, last) * (middle - s));
    put(second, SIGMA, up * unitAt(t, last));
  }
  return count;
}

/** Euler's method down to a lower sigma, then noise up to the next (k-diffusion); eta 0 is Euler's, 1 has DDPM's noise. */
export function planEulerAncestral(
  rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize, eta: f64,
): i32 {
  for (let i = 0; i < n; i++) {
    const s = get(sigmas, i), t = get(sigmas, i + 1), last = i + 1 == n;
    const up = upOf(s, t, eta), down = sqrt(max(t * t - up * up, 0));
    const row = askingAt(rows, i, get(timesteps, i), s, answer);
    addX(row, SUM, unitAt(t, last) / signalOf(s));
    addNoiseAt(row, SUM, unitAt(t, last) * (down - s), s, answer);
    put(row, SIGMA, up * unitAt(t, last));
  }
  return n;
}

/** x' = x + (t - s)*eps, in units of `unit`. */
function eulerRow(rows: usize, i: i32, timestep: f64, s: f64, t: f64, unit: f64, answer: usize): usize {
  const row = askingAt(rows, i, timestep, s, answer);
  if (t == 0) {
    addStart(row, SUM, unit);
  } else {
    addX(row, SUM, unit / signalOf(s));
    addNoiseAt(row, SUM, unit * (t - s), s, answer);
  }
  return row;
}

let raisedTimestep: f64 = 0;

/** Where the churn raises sigma i, a row that adds the noise (algorithm 2, lines 4 to 6); returns the sigma after it. */
function raise(
  rows: usize, row: i32, timesteps: usize, sigmas: usize, i: i32, n: i32, churn: usize, table: usize,
): f64 {
  const s = get(sigmas, i);
  if (get(churn, CHURN) == 0 || s < get(churn, CHURN_MIN) || s > get(churn, CHURN_MAX)) return s;
  const raised = s * (1 + min(get(churn, CHURN) / n, Math.SQRT2 - 1));
  const resting = restingRow(rows, row, get(timesteps, i));
  addX(resting, SUM, signalOf(raised) / signalOf(s));
  put(resting, SIGMA, get(churn, CHURN_NOISE) * sqrt(raised * raised - s * s) * signalOf(raised));
  raisedTimestep = timestepOf(raised, table);
  return raised;
}

/** What one unit of the image is in a plan's x. */
function unitAt(sigma: f64, last: bool): f64 {
  return last ? 1 : signalOf(sigma);
}

/** The noise that a step from s down to t adds: that of the posterior, times eta. */
function upOf(s: f64, t: f64, eta: f64): f64 {
  return min(t, (eta * t * sqrt(max(s * s - t * t, 0))) / s);
}
