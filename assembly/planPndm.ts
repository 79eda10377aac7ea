// PNDM: Liu et al. 2022, Pseudo Numerical Methods for Diffusion Models on Manifolds.

import { STORE } from './row';
import {
  KEPT, SUM, V_PREDICTION, abarAt, addModel, addNoise, addSlot, addX, askingRow, isBounded, keepingRow,
  predictionOf,
} from './planRow';
import { get, put } from './schedule';

const X = 4; // slots 1 to 3 keep earlier answers, 4 the x that a step began with, 5 and 6 answers within a step
const AB2: StaticArray<f64> = [3.0 / 2, -1.0 / 2];
const AB3: StaticArray<f64> = [23.0 / 12, -16.0 / 12, 5.0 / 12];
const AB4: StaticArray<f64> = [55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24];

/**
 * F-PNDM and PLMS: linear multistep steps (eq. 12) of `stride` timesteps. The first three answers come from
 * Runge-Kutta steps (eq. 13), or with `skipPrk` from lower orders. `finalAbar` is the level below timestep 0.
 *
 * As diffusers does it, steps end `stride` below where they begin, whatever the next timestep is, half a step is
 * stride/2 rounded down, and velocities are combined before they are taken for noise.
 */
export function planPndm(
  rows: usize, timesteps: usize, n: i32, abar: usize, answer: usize, stride: i32, finalAbar: f64, skipPrk: bool,
): i32 {
  let count = 0, kept = 0;
  let i = 0;
  if (!skipPrk) {
    for (; i < 3; i++) count = rungeKutta(rows, count, timesteps, i, abar, answer, stride, finalAbar);
    kept = 3;
  } else if (n > 1) {
    // Euler's step, then the same step again with the mean of both slopes
    const t = get(timesteps, 0), next = get(timesteps, 1), to = abarAt(abar, next, 1);
    keepingRow(rows, count++, t, X);
    const first = ask(rows, count++, t, abar, answer);
    advance(first, 0, abarAt(abar, t, 1), abarAt(abar, t, 1), abarAt(abar, t - stride, finalAbar), 1, answer);
    keep(first, 1, abarAt(abar, t, 1), answer);
    const again = ask(rows, count++, next, abar, answer);
    const d = advance(again, X, to, abarAt(abar, next + stride, 1), to, 0.5, answer);
    addSlot(again, 1, d / 2);
    kept = 1;
    i = 1;
  }
  for (; i < n; i++) {
    const t = get(timesteps, i), at = abarAt(abar, t, 1);
    const row = ask(rows, count++, t, abar, answer);
    const p = min(kept + 1, 4);
    const d = advance(row, 0, at, at, abarAt(abar, t - stride, finalAbar), adams(p, 0), answer);
    for (let k = 1; k < p; k++) addSlot(row, slotOf(kept - k), d * adams(p, k));
    keep(row, slotOf(kept), at, answer);
    kept++;
  }
  return count;
}

/** The classical Runge-Kutta step from timestep i to i + 1; its first answer is kept for the multistep steps. */
function rungeKutta(
  rows: usize, first: i32, timesteps: usize, i: i32, abar: usize, answer: usize, stride: i32, finalAbar: f64,
): i32 {
  const t = get(timesteps, i), end = get(timesteps, i + 1), middle = end + stride / 2;
  const at = abarAt(abar, t, 1), half = abarAt(abar, middle, 1), to = abarAt(abar, end, 1);
  const e1 = 1 + i, e2 = 5, e3 = 6;
  keepingRow(rows, first, t, X);
  const row1 = ask(rows, first + 1, t, abar, answer);
  advance(row1, 0, at, at, abarAt(abar, t - stride / 2, finalAbar), 1, answer);
  keep(row1, e1, at, answer);
  const row2 = ask(rows, first + 2, middle, abar, answer);
  advance(row2, X, half, at, half, 1, answer);
  keep(row2, e2, half, answer);
  const row3 = ask(rows, first + 3, middle, abar, answer);
  advance(row3, X, half, at, abarAt(abar, middle - stride / 2, finalAbar), 1, answer);
  keep(row3, e3, half, answer);
  const row4 = ask(rows, first + 4, end, abar, answer);
  const d = advance(row4, X, to, at, to, 1.0 / 6, answer);
  addSlot(row4, e1, d / 6);
  addSlot(row4, e2, d / 3);
  addSlot(row4, e3, d / 3);
  return first + 5;
}

function ask(rows: usize, i: i32, t: f64, abar: usize, answer: usize): usize {
  const at = abarAt(abar, t, 1);
  return askingRow(rows, i, t, sqrt(at), sqrt(1 - at), answer);
}

/**
 * x' = sqrt(as/at)*x + d*e (eq. 11), x in a slot or, for 0, where the row begins; adds the share of this row's answer,
 * which was asked at the level `asked`, to e and returns the weight of whatever else is in e.
 */
function advance(row: usize, slot: i32, asked: f64, at: f64, as: f64, share: f64, answer: usize): f64 {
  let ofX = sqrt(as / at), d = sqrt(1 - as) - sqrt((as * (1 - at)) / at);
  if (combinesVelocity(answer)) {
    // eps = sqrt(at)*v + sqrt(1 - at)*x
    ofX += d * sqrt(1 - at);
    d *= sqrt(at);
  }
  if (slot) addSlot(row, slot, ofX);
  else addX(row, SUM, ofX);
  addAnswer(row, SUM, d * share, asked, answer);
  return d;
}

function keep(row: usize, slot: i32, at: f64, answer: usize): void {
  put(row, STORE, slot);
  addAnswer(row, KEPT, 1, at, answer);
}

function addAnswer(row: usize, to: i32, weight: f64, at: f64, answer: usize): void {
  if (combinesVelocity(answer)) addModel(row, to, weight);
  else addNoise(row, to, weight, sqrt(at), sqrt(1 - at), predictionOf(answer), isBounded(answer));
}

function combinesVelocity(answer: usize): bool {
  return predictionOf(answer) == V_PREDICTION && !isBounded(answer);
}

/** The weight of the k-th last answer in the Adams-Bashforth formula of order p. */
function adams(p: i32, k: i32): f64 {
  return p == 1 ? 1 : p == 2 ? AB2[k] : p == 3 ? AB3[k] : AB4[k];
}

function slotOf(kept: i32): i32 {
  return 1 + (kept % 3);
}
