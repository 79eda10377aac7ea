// Noise schedules: betas, their running products and what the posterior needs of them.
// A schedule is TABLES arrays of T float64 values; in float32 mode each value of the first three is the float32
// number that diffusers holds, operation by operation in the order in which torch rounds.

import * as sleef from './sleef';

export const BETAS = 0;
export const ALPHAS = 1;
export const ALPHAS_CUMPROD = 2;
export const POSTERIOR_VARIANCE = 3; // Ho et al. 2020, eq. 7
export const POSTERIOR_LOG_VARIANCE = 4; // its logarithm, where t = 0 takes the value of t = 1 (Nichol and Dhariwal 2021)
export const POSTERIOR_MEAN_COEF1 = 5; // of x_0, eq. 7
export const POSTERIOR_MEAN_COEF2 = 6; // of x_t
export const LOG_SNR = 7; // log(abar / (1 - abar))
export const TABLES = 8;

export const LINEAR: i32 = 0;
export const SCALED_LINEAR: i32 = 1;
export const SQUARED_COSINE: i32 = 2;
export const SIGMOID: i32 = 3;
export const LAPLACE: i32 = 4;
export const TRAINED: i32 = 5; // the caller has filled the betas
export const EXPONENTIAL: i32 = 6;

/** Fills the tables of a schedule of `T` steps at `out`. */
export function schedule(out: usize, kind: i32, T: i32, start: f64, end: f64, zeroSnr: bool, single: bool): void {
  const betas = table(out, BETAS, T);
  if (kind == LINEAR) linspace(betas, T, start, end, single);
  else if (kind == SCALED_LINEAR) scaledLinear(betas, T, start, end, single);
  else if (kind == SIGMOID) sigmoid(betas, T, start, end, single);
  else if (kind != TRAINED) fromAlphaBar(betas, T, kind, single);
  else if (single) for (let t = 0; t < T; t++) put(betas, t, rounded(get(betas, t), true));

  products(out, T, single);
  if (zeroSnr) {
    rescaleToZeroSnr(out, T, single);
    products(out, T, single);
  }
  posteriors(out, T);
}

/** alpha = 1 - beta and its running product, accumulated in float64 and stored in the schedule's precision. */
function products(out: usize, T: i32, single: bool): void {
  const betas = table(out, BETAS, T), alphas = table(out, ALPHAS, T), abar = table(out, ALPHAS_CUMPROD, T);
  let product = 1.0;
  for (let t = 0; t < T; t++) {
    const alpha = rounded(1 - get(betas, t), single);
    product *= alpha;
    put(alphas, t, alpha);
    put(abar, t, rounded(product, single));
  }
}

/** Shifts and scales sqrt(abar) so that its last value is zero and its first stays: Lin et al. 2024, algorithm 1. */
function rescaleToZeroSnr(out: usize, T: i32, single: bool): void {
  const betas = table(out, BETAS, T), abar = table(out, ALPHAS_CUMPROD, T);
  const first = rounded(sqrt(get(abar, 0)), single), last = rounded(sqrt(get(abar, T - 1)), single);
  const scale = rounded(first / rounded(first - last, single), single);
  let previous = 1.0;
  for (let t = 0; t < T; t++) {
    const root = rounded(rounded(rounded(sqrt(get(abar, t)), single) - last, single) * scale, single);
    const value = rounded(root * root, single);
    const alpha = t == 0 ? value : rounded(value / previous, single);
    put(betas, t, rounded(1 - alpha, single));
    previous = value;
  }
}

function posteriors(out: usize, T: i32): void {
  const betas = table(out, BETAS, T), alphas = table(out, ALPHAS, T), abar = table(out, ALPHAS_CUMPROD, T);
  const variance = table(out, POSTERIOR_VARIANCE, T), logVariance = table(out, POSTERIOR_LOG_VARIANCE, T);
  for (let t = 0; t < T; t++) {
    const a = get(abar, t), previous = t == 0 ? 1.0 : get(abar, t - 1), beta = get(betas, t);
    put(variance, t, ((1 - previous) / (1 - a)) * beta);
    put(table(out, POSTERIOR_MEAN_COEF1, T), t, (sqrt(previous) * beta) / (1 - a));
    put(table(out, POSTERIOR_MEAN_COEF2, T), t, (sqrt(get(alphas, t)) * (1 - previous)) / (1 - a));
    put(table(out, LOG_SNR, T), t, Math.log(a / (1 - a)));
  }
  for (let t = 0; t < T; t++) put(logVariance, t, Math.log(get(variance, T == 1 ? 0 : max(t, 1))));
}

/** n values from start to end, in float32 as torch.linspace: stepped from the nearer end, each rounded once. */
function linspace(out: usize, n: i32, start: f64, end: f64, single: bool): void {
  const from = rounded(start, single), to = rounded(end, single);
  const step = n > 1 ? rounded(rounded(to - from, single) / (n - 1), single) : 0;
  for (let i = 0; i < n; i++) {
    put(out, i, rounded(i < n / 2 || n == 1 ? from + step * i : to - step * (n - 1 - i), single));
  }
}

/** Linear in sqrt(beta): the schedule of latent diffusion (Rombach et al. 2022). */
function scaledLinear(betas: usize, T: i32, start: f64, end: f64, single: bool): void {
  linspace(betas, T, sqrt(start), sqrt(end), single);
  for (let t = 0; t < T; t++) put(betas, t, rounded(get(betas, t) * get(betas, t), single));
}

/** beta = start + (end - start) * sigmoid(u), u from -6 to 6: GeoDiff (Xu et al. 2022). */
function sigmoid(betas: usize, T: i32, start: f64, end: f64, single: bool): void {
  linspace(betas, T, -6, 6, single);
  const range = rounded(end - start, single), offset = rounded(start, single);
  for (let t = 0; t < T; t++) {
    const e = single ? <f64>sleef.exp(<f32>-get(betas, t)) : Math.exp(-get(betas, t));
    const s = rounded(1 / rounded(1 + e, single), single);
    put(betas, t, rounded(rounded(s * range, single) + offset, single));
  }
}

/** beta_t = min(1 - abar(t+1) / abar(t), 0.999) of a continuous abar on [0, 1]: Nichol and Dhariwal 2021, section 3.2. */
function fromAlphaBar(betas: usize, T: i32, kind: i32, single: bool): void {
  let previous = alphaBar(0, kind);
  for (let i = 0; i < T; i++) {
    const next = alphaBar((i + 1) / f64(T), kind);
    put(betas, i, rounded(min(1 - next / previous, 0.999), single));
    previous = next;
  }
}

function alphaBar(u: f64, kind: i32): f64 {
  if (kind == SQUARED_COSINE) {
    const c = Math.cos((((u + 0.008) / 1.008) * Math.PI) / 2);
    return c * c;
  }
  if (kind == EXPONENTIAL) return Math.exp(-12 * u);
  // Laplace-distributed log-SNR: Hang et al. 2024, Improved Noise Schedule for Diffusion Training
  const logSnr = -0.5 * (u > 0.5 ? -1.0 : 1.0) * Math.log(1 - 2 * abs(0.5 - u) + 1e-6);
  const snr = Math.exp(logSnr);
  return sqrt(snr / (1 + snr));
}

@inline
function table(out: usize, index: i32, T: i32): usize {
  return out + ((<usize>(index * T)) << 3);
}

@inline
export function get(values: usize, i: i32): f64 {
  return load<f64>(values + ((<usize>i) << 3));
}

@inline
export function put(values: usize, i: i32, value: f64): void {
  store<f64>(values + ((<usize>i) << 3), value);
}

/** The value as the schedule's precision holds it. */
@inline
export function rounded(value: f64, single: bool): f64 {
  return single ? <f64>(<f32>value) : value;
}
