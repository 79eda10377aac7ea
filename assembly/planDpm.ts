// DPM-Solver and DPM-Solver++, multistep and singlestep: exponential integrators in lambda = log(signal/noise).
//
// With m the start (++) or the noise, all of them are x_t = c*x_s - scale*(phi1*D0 + phi2*D1 + phi3*D2), where D0 is m
// at s and D1, D2 are its divided differences in lambda, measured in steps.

import { SIGMA, STORE } from './row';
import {
  KEPT, SUM, addNoiseAt, addSlot, addStart, addX, askingAt, keepingRow, noiseOf, pointsAt, signalOf,
} from './planRow';
import { get, put } from './schedule';

// algorithms; the bits say what the integral is of and whether noise is added
export const DPM_SOLVER_PP: i32 = 0; // Lu et al. 2022b
export const DPM_SOLVER: i32 = 1; // Lu et al. 2022a
export const SDE_DPM_SOLVER_PP: i32 = 2;
export const SDE_DPM_SOLVER: i32 = 3;
const OF_NOISE = 1;
const STOCHASTIC = 2;

// what `integrate` found last for a step between two levels
export let c: f64 = 0;
export let scalePhi1: f64 = 0; // scale*phi1, which stays finite where sigma ends at 0
export let scale: f64 = 0;
export let q: f64 = 0; // phi1 = e^q - 1
let deviation: f64 = 0;

/** The coefficients of a step from sigma `s` to sigma `t`, h = log(s/t). */
export function integrate(s: f64, t: f64, algorithm: i32): void {
  const h = Math.log(s / t), ratio = t / s;
  const twice = algorithm & STOCHASTIC ? 2.0 : 1.0;
  if (algorithm & OF_NOISE) {
    c = signalOf(t) / signalOf(s);
    scale = twice * noiseOf(t);
    scalePhi1 = twice * (signalOf(t) * s - noiseOf(t));
    q = h;
    deviation = sqrt(max(signalOf(t) * signalOf(t) * s * s - noiseOf(t) * noiseOf(t), 0)); // noise*sqrt(e^(2h) - 1)
  } else {
    const decay = algorithm & STOCHASTIC ? ratio * ratio : ratio; // e^-h or e^-2h
    c = (noiseOf(t) / noiseOf(s)) * (algorithm & STOCHASTIC ? ratio : 1);
    scale = signalOf(t);
    scalePhi1 = scale * (decay - 1);
    q = -twice * h;
    deviation = noiseOf(t) * sqrt(max(1 - decay, 0));
  }
}

/**
 * DPM-Solver++ (Lu et al. 2022b, algorithm 2) over sigmas 0 to n, or one of its relatives: order 1 to 3, with earlier
 * m in slots 1 and 2. `heun` takes phi2*D1 at order 2 where the midpoint rule has phi1*D1/2.
 */
export function planDpm(
  rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize,
  algorithm: i32, order: i32, heun: bool, lowerOrderFinal: bool, eulerAtFinal: bool,
): i32 {
  const few = lowerOrderFinal && n < 15;
  for (let i = 0; i < n; i++) {
    const left = n - i, s = get(sigmas, i), t = get(sigmas, i + 1);
    const reach = t == s || (left == 1 && (eulerAtFinal || few || t == 0)) ? 1 : left == 2 && few ? 2 : 3;
    const p = min(pointsAt(sigmas, i, order), reach);
    const row = askStep(rows, i, get(timesteps, i), s, t, answer, algorithm);
    addX(row, SUM, c);

    const h = Math.log(s / t);
    const r0 = p > 1 ? Math.log(get(sigmas, i - 1) / s) / h : 1;
    const r1 = p > 2 ? Math.log(get(sigmas, i - 2) / get(sigmas, i - 1)) / h : 1;
    // slots of the last m and of the one before it, which this row's m replaces
    const newer = order == 2 ? 1 : 1 + ((i + 1) & 1), older = order == 2 ? 1 : 1 + (i & 1);
    addEstimate(row, SUM, -scalePhi1, s, answer, algorithm); // D0
    if (p == 2) {
      // D1 = (m0 - m1)/r0
      const w = -(heun ? scale * phi2() : scalePhi1 / 2) / r0;
      addEstimate(row, SUM, w, s, answer, algorithm);
      addSlot(row, newer, -w);
    } else if (p == 3) {
      // with E0 = (m0 - m1)/r0 and E1 = (m1 - m2)/r1: D1 = E0 + r0/(r0+r1)*(E0 - E1), D2 = (E0 - E1)/(r0+r1);
      // a third order would take twice this D2, but its authors' code and diffusers have it so
      const first = -scale * phi2(), second = -scale * phi3(algorithm);
      const difference = (first * r0 + second) / (r0 + r1);
      const e0 = (first + difference) / r0, e1 = -difference / r1;
      addEstimate(row, SUM, e0, s, answer, algorithm);
      addSlot(row, newer, e1 - e0);
      addSlot(row, older, -e1);
    }
    if (order > 1) keepEstimate(row, older, s, answer, algorithm);
  }
  return n;
}

/**
 * Singlestep DPM-Solver++ (Lu et al. 2022b, algorithm 1) and its relatives: groups of steps of order 1, 2, 3, each from
 * the x that its group began with (slot 1) and the group's earlier m (slots 2 and 3). `orders` says the order of each step.
 */
export function planDpmSinglestep(
  rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize, algorithm: i32, heun: bool, orders: usize,
): i32 {
  let count = 0;
  for (let i = 0; i < n; i++) {
    const p = <i32>get(orders, i), begin = i - (p - 1);
    const grows = i + 1 < n && get(orders, i + 1) > p;
    const s = get(sigmas, i), t = get(sigmas, i + 1), from = get(sigmas, begin);
    if (p == 1 && grows) keepingRow(rows, count++, get(timesteps, i), 1);
    const row = askStep(rows, count++, get(timesteps, i), s, t, answer, algorithm);
    integrate(from, t, algorithm);
    put(row, SIGMA, algorithm & STOCHASTIC ? deviation : 0);
    if (grows) keepEstimate(row, 1 + p, s, answer, algorithm);
    if (p == 1) {
      addX(row, SUM, c);
      addEstimate(row, SUM, -scalePhi1, s, answer, algorithm);
      continue;
    }

    const h = Math.log(from / t);
    const r0 = Math.log(from / s) / h; // of this step's m
    addSlot(row, 1, c);
    if (p == 2 || !heun) {
      // D1 = (m0 - m of the group's begin)/r0
      const w = -(p == 3 || heun ? scale * phi2() : scalePhi1 / 2) / r0;
      addEstimate(row, SUM, w, s, answer, algorithm);
      addSlot(row, 2, -scalePhi1 - w);
    } else {
      // with E0 = (m1 - m2)/r1 and E1 = (m0 - m2)/r0: D1 = (r0*E0 - r1*E1)/(r0-r1), D2 = 2*(E1 - E0)/(r0-r1)
      const r1 = Math.log(from / get(sigmas, begin + 1)) / h;
      const first = -scale * phi2(), second = -scale * phi3(algorithm);
      const e0 = (first * r0 - 2 * second) / (r0 - r1) / r1, e1 = (2 * second - first * r1) / (r0 - r1) / r0;
      addEstimate(row, SUM, e1, s, answer, algorithm);
      addSlot(row, 3, e0);
      addSlot(row, 2, -scalePhi1 - e0 - e1);
    }
  }
  return count;
}

/** phi2 = phi1/q - 1. */
function phi2(): f64 {
  return Math.expm1(q) / q - 1;
}

/** phi3 = phi2/q - 1/2; of the stochastic solver of the start with diffusers' sign of the half. */
function phi3(algorithm: i32): f64 {
  return algorithm == SDE_DPM_SOLVER_PP ? phi2() / q + 0.5 : phi2() / q - 0.5;
}

function askStep(rows: usize, i: i32, timestep: f64, s: f64, t: f64, answer: usize, algorithm: i32): usize {
  const row = askingAt(rows, i, timestep, s, answer);
  integrate(s, t, algorithm);
  if (algorithm & STOCHASTIC) put(row, SIGMA, deviation);
  return row;
}

function addEstimate(row: usize, to: i32, weight: f64, sigma: f64, answer: usize, algorithm: i32): void {
  if (algorithm & OF_NOISE) addNoiseAt(row, to, weight, sigma, answer);
  else addStart(row, to, weight);
}

function keepEstimate(row: usize, slot: i32, sigma: f64, answer: usize, algorithm: i32): void {
  put(row, STORE, slot);
  addEstimate(row, KEPT, 1, sigma, answer, algorithm);
}
