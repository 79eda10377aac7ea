// Linear multistep methods on dx/dsigma = eps, x measured in units of the image (x = x_0 + sigma*eps): the last eps,
// interpolated by a polynomial, are integrated exactly. LMS interpolates in sigma, DEIS in log(sigma).

import { KEPT, SUM, addNoiseAt, addSlot, addX, askingAt, keepNoiseAt, pointsAt, signalOf } from './planRow';
import { get, put } from './schedule';
import { vandermonde } from './solve';

const MAX_ORDER = 4;
const nodes = memory.data(MAX_ORDER * 8, 8);
const weights = memory.data(MAX_ORDER * 8, 8);

/** Adams-Bashforth in sigma (the LMS sampler of k-diffusion), order 1 to 4, over sigmas 0 to n. */
export function planLms(rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize, order: i32): i32 {
  for (let i = 0; i < n; i++) {
    const s = get(sigmas, i), step = get(sigmas, i + 1) - s;
    const p = step == 0 ? 1 : pointsAt(sigmas, i, order);
    for (let k = 0; k < p; k++) {
      put(nodes, k, (get(sigmas, i - k) - s) / step);
      put(weights, k, step / (k + 1)); // the integral of v^k over a step, v in steps
    }
    stepOf(rows, timesteps, sigmas, i, i + 1 == n, answer, p, order);
  }
  return n;
}

/**
 * DEIS (Zhang and Chen 2023, Fast Sampling of Diffusion Models with Exponential Integrator, tAB in log rho), order 1 to
 * 3. With `lowerOrderFinal` runs of fewer than 15 steps end in lower orders.
 */
export function planDeis(
  rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize, order: i32, lowerOrderFinal: bool,
): i32 {
  const few = lowerOrderFinal && n < 15;
  for (let i = 0; i < n; i++) {
    const s = get(sigmas, i), t = get(sigmas, i + 1);
    // log(sigma) has no end at 0, and a step of no length needs no polynomial
    const p = t == 0 || t == s ? 1 : pointsAt(sigmas, i, few ? min(order, n - i) : order);
    const h = Math.log(t / s);
    let moment = (t - s) / h; // the integral of s*e^(h*v)*v^k over a step, times h below
    for (let k = 0; k < p; k++) {
      put(nodes, k, Math.log(get(sigmas, i - k) / s) / h);
      put(weights, k, p == 1 ? t - s : moment * h);
      moment = (t - (k + 1) * moment) / h;
    }
    stepOf(rows, timesteps, sigmas, i, false, answer, p, order);
  }
  return n;
}

/**
 * One step with the nodes and moments found: x' = x + sum of w_k eps_k. Earlier eps are in the slots; `inSigmas` leaves
 * x in units of the image.
 */
function stepOf(
  rows: usize, timesteps: usize, sigmas: usize, i: i32, inSigmas: bool, answer: usize, p: i32, order: i32,
): void {
  const s = get(sigmas, i), unit = inSigmas ? 1 : signalOf(get(sigmas, i + 1));
  const row = askingAt(rows, i, get(timesteps, i), s, answer);
  vandermonde(nodes, weights, p);
  addX(row, SUM, unit / signalOf(s));
  addNoiseAt(row, SUM, unit * get(weights, 0), s, answer);
  for (let k = 1; k < p; k++) addSlot(row, slotOf(i - k, order), unit * get(weights, k));
  if (order > 1) keepNoiseAt(row, slotOf(i, order), s, answer);
}

/** A ring of as many slots as earlier eps are needed. */
function slotOf(i: i32, order: i32): i32 {
  return 1 + (i % (order - 1));
}
