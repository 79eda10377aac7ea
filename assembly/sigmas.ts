// Levels of noise for the samplers that step in sigma = sqrt((1 - abar)/abar), and the timesteps that stand for them.

import { get, put, rounded } from './schedule';

const FLOAT16_MIN: f64 = 1.0 / 16777216;

/** Writes sigma for each of T timesteps. Where no signal is left, abar counts as 2^-24, float16's smallest number. */
export function trainSigmas(out: usize, abar: usize, T: i32, single: bool): void {
  for (let t = 0; t < T; t++) {
    const a = get(abar, t) == 0 ? FLOAT16_MIN : get(abar, t);
    put(out, t, rounded(sqrt(rounded(rounded(1 - a, single) / a, single)), single));
  }
}

/** Writes the sigmas of n real timesteps, linearly between those of the table. */
export function sigmasAt(out: usize, timesteps: usize, n: i32, sigmas: usize, T: i32): void {
  for (let i = 0; i < n; i++) {
    const t = min(max(get(timesteps, i), 0), T - 1), low = <i32>t;
    const s = get(sigmas, low);
    put(out, i, low + 1 < T ? s + (t - low) * (get(sigmas, low + 1) - s) : s);
  }
}

export const KARRAS: i32 = 0;
export const EXPONENTIAL: i32 = 1;
export const BETA: i32 = 2;
const RHO = 7; // Karras et al. 2022, section 3

/** Writes n sigmas, the first and the last as given. */
export function spacedSigmas(out: usize, kind: i32, n: i32, from: f64, to: f64): void {
  for (let i = 0; i < n; i++) {
    const ramp = n > 1 ? <f64>i / (n - 1) : 0;
    if (kind == KARRAS) put(out, i, karras(ramp, from, to));
    else if (kind == BETA) put(out, i, to + quantile(1 - ramp) * (from - to));
    else put(out, i, exponential(ramp, from, to));
  }
}

/** Evenly spaced in sigma^(1/7): Karras et al. 2022, eq. 5. */
function karras(ramp: f64, from: f64, to: f64): f64 {
  const a = Math.exp(Math.log(from) / RHO), b = Math.exp(Math.log(to) / RHO);
  const root = a + ramp * (b - a);
  const cube = root * root * root;
  return cube * cube * root;
}

/** Evenly spaced in log(sigma), hence in the lambda of DPM-Solver (Lu et al. 2022a). */
function exponential(ramp: f64, from: f64, to: f64): f64 {
  return Math.exp(Math.log(from) + ramp * (Math.log(to) - Math.log(from)));
}

const SHAPE = 0.6;

/** The p-quantile of the distribution beta(0.6, 0.6): Lee et al. 2024, Beta Sampling is All You Need. */
function quantile(p: f64): f64 {
  if (p > 0.5) return 1 - quantile(1 - p);
  if (p <= 0) return 0;
  const target = 2 * p * incompleteBeta(0.5);
  // where x is small the integral is x^0.6/0.6; Newton's method from there, in y = x^0.6, where it is nearly straight
  let y = SHAPE * target;
  for (let k = 0; k < 40; k++) {
    const x = Math.exp(Math.log(y) / SHAPE);
    const slope = Math.exp((SHAPE - 1) * Math.log(1 - x)) / SHAPE;
    const step = (incompleteBeta(x) - target) / slope;
    y -= step;
    if (abs(step) <= 1e-16 * y) break;
  }
  return Math.exp(Math.log(y) / SHAPE);
}

/** The integral of u^-0.4 (1 - u)^-0.4 from 0 to x <= 1/2, by the binomial series of the second factor. */
function incompleteBeta(x: f64): f64 {
  let factor = Math.exp(SHAPE * Math.log(x)), sum = factor / SHAPE;
  for (let k = 1; k < 200 && factor > 1e-18 * sum; k++) {
    factor *= ((k - SHAPE) * x) / k;
    sum += factor / (SHAPE + k);
  }
  return sum;
}

// what `timestepOf` looks sigmas up in: T, whether the logarithms are float32, whether the timestep is log(sigma)/4, T logarithms
const COUNT = 0;
const SINGLE = 1;
const CONTINUOUS = 2;
const LOGARITHMS = 3;

/** Bytes of a table for `timestepOf`. */
export function lookupBytes(T: i32): i32 {
  return (LOGARITHMS + T) << 3;
}

export function fillLookup(table: usize, sigmas: usize, T: i32, single: bool, continuous: bool): void {
  put(table, COUNT, T);
  put(table, SINGLE, single ? 1 : 0);
  put(table, CONTINUOUS, continuous ? 1 : 0);
  for (let t = 0; t < T; t++) put(table, LOGARITHMS + t, rounded(Math.log(get(sigmas, t)), single));
}

/** The real timestep of a sigma: linear in log(sigma) between those of the table. */
export function timestepOf(sigma: f64, table: usize): f64 {
  const T = <i32>get(table, COUNT), logs = table + (LOGARITHMS << 3);
  const value = Math.log(max(sigma, 1e-10));
  if (get(table, CONTINUOUS) != 0) return value / 4;
  let low = T - 2;
  while (low > 0 && get(logs, low) > value) low--;
  const step = rounded(get(logs, low) - get(logs, low + 1), get(table, SINGLE) != 0);
  const part = min(max((get(logs, low) - value) / step, 0), 1);
  return (1 - part) * low + part * (low + 1);
}

/** The timesteps of n sigmas. */
export function timestepsOf(out: usize, sigmas: usize, n: i32, table: usize): void {
  for (let i = 0; i < n; i++) put(out, i, timestepOf(get(sigmas, i), table));
}
