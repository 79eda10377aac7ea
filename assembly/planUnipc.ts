// UniPC: Zhao et al. 2023, UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models.

import { STORE } from './row';
import { KEPT, SUM, addNoiseAt, addSlot, addStart, addX, askingAt, keepX, pointsAt, restingRow } from './planRow';
import { DPM_SOLVER, DPM_SOLVER_PP, c, integrate, q, scale, scalePhi1 } from './planDpm';
import { get, put } from './schedule';
import { vandermonde } from './solve';

const MAX_ORDER = 3;
const X = 4; // the slot of the last corrected x; the last three m are in slots 1 to 3
const nodes = memory.data(MAX_ORDER * 8, 8);
const rhos = memory.data(MAX_ORDER * 8, 8);

/**
 * UniPC over sigmas 0 to n, order 1 to 3. Each step is two rows: one asks the network and corrects x by its answer
 * (where `corrects` is not 0), the next predicts from the corrected x. `data` integrates the start, else the noise;
 * `bh1` has B(h) = h where bh2 has e^h - 1 (section 3.3).
 */
export function planUnipc(
  rows: usize, timesteps: usize, sigmas: usize, n: i32, answer: usize,
  order: i32, bh1: bool, data: bool, lowerOrderFinal: bool, corrects: usize,
): i32 {
  const algorithm = data ? DPM_SOLVER_PP : DPM_SOLVER;
  let p = 0;
  for (let i = 0; i < n; i++) {
    const timestep = get(timesteps, i), s = get(sigmas, i), t = get(sigmas, i + 1);

    // the corrector of the step that led here, of that step's order: x_c = c*x - scale*(phi1*m0 + B*sum of rho_k*D_k)
    const row = askingAt(rows, 2 * i, timestep, s, answer);
    if (i > 0 && get(corrects, i) != 0) {
      integrate(get(sigmas, i - 1), s, algorithm);
      addSlot(row, X, c);
      addSlot(row, slotOf(i - 1), -scalePhi1);
      addDifferences(row, sigmas, i - 1, p - 1, true, bh1);
      const w = -scale * b(bh1) * get(rhos, p - 1);
      addEstimate(row, SUM, w, s, answer, data);
      addSlot(row, slotOf(i - 1), -w);
    } else {
      addX(row, SUM, 1);
    }
    put(row, STORE, slotOf(i));
    addEstimate(row, KEPT, 1, s, answer, data);

    // the predictor, without D of the point to come; where sigma ends at 0, lambda has no end and the first order is exact
    p = t == 0 || t == s ? 1 : pointsAt(sigmas, i, lowerOrderFinal ? min(order, n - i) : order);
    const next = restingRow(rows, 2 * i + 1, timestep);
    integrate(s, t, algorithm);
    addX(next, SUM, c);
    addSlot(next, slotOf(i), -scalePhi1);
    if (p > 1) addDifferences(next, sigmas, i, p - 1, false, bh1);
    keepX(next, X);
  }
  return 2 * n;
}

/**
 * Solves for rhos that make a step from sigma i exact for polynomials in lambda (eq. 5), and adds the terms of the
 * `count` points before i: rho_k*D_k with D_k = (m of i-k - m of i)/r_k, r_k the distance in steps.
 */
function addDifferences(row: usize, sigmas: usize, i: i32, count: i32, corrector: bool, bh1: bool): void {
  const s = get(sigmas, i), h = Math.log(s / get(sigmas, i + 1)), unknowns = corrector ? count + 1 : count;
  let phi = Math.expm1(q) / q - 1, factorial = 1.0;
  for (let k = 0; k < unknowns; k++) {
    put(nodes, k, k < count ? Math.log(s / get(sigmas, i - k - 1)) / h : 1);
    put(rhos, k, (phi * factorial) / b(bh1));
    factorial *= k + 2;
    phi = phi / q - 1 / factorial;
  }
  // a single unknown is 1/2, which is enough for its order and does not depend on the step (section 3.3)
  if (unknowns == 1) put(rhos, 0, 0.5);
  else vandermonde(nodes, rhos, unknowns);

  for (let k = 0; k < count; k++) {
    const w = (-scale * b(bh1) * get(rhos, k)) / (Math.log(s / get(sigmas, i - k - 1)) / h);
    addSlot(row, slotOf(i - k - 1), w);
    addSlot(row, slotOf(i), -w);
  }
}

/** B(h). */
function b(bh1: bool): f64 {
  return bh1 ? q : Math.expm1(q);
}

function slotOf(i: i32): i32 {
  return 1 + (i % MAX_ORDER);
}

function addEstimate(row: usize, to: i32, weight: f64, sigma: f64, answer: usize, data: bool): void {
  if (data) addStart(row, to, weight);
  else addNoiseAt(row, to, weight, sigma, answer);
}
