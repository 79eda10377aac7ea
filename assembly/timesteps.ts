// Which of the T training timesteps a run of n steps visits, as numpy arithmetic in diffusers places them.

import { get, put, rounded } from './schedule';

export const LEADING: i32 = 0;
export const TRAILING: i32 = 1;
export const LINSPACE: i32 = 2;

/** Writes the timesteps in descending order and returns how many there are, n at most. */
export function timesteps(out: usize, spacing: i32, T: i32, n: i32, offset: i32): i32 {
  if (spacing == LEADING) return leading(out, T, n, offset);
  if (spacing == TRAILING) return trailing(out, T, n);
  return linspace(out, T, n);
}

/** Multiples of T/n rounded down, moved up by the offset; what the offset moves past the table is left out. */
function leading(out: usize, T: i32, n: i32, offset: i32): i32 {
  const ratio = T / n;
  let count = 0;
  for (let i = n - 1; i >= 0; i--) {
    if (i * ratio + offset < T) put(out, count++, i * ratio + offset);
  }
  return count;
}

/** round(arange(T, 0, -T/n)) - 1 with numpy's arange, whose step is the difference of its first two values. */
function trailing(out: usize, T: i32, n: i32): i32 {
  const step = T - <f64>T / n - T;
  let count = 0;
  for (let i = 0; i < n; i++) {
    const t = nearest(T + i * step) - 1;
    if (t >= 0) put(out, count++, t);
  }
  return count;
}

/** n values evenly from T-1 to 0, rounded half to even; the single value of n = 1 is 0. */
function linspace(out: usize, T: i32, n: i32): i32 {
  const step = n > 1 ? <f64>(T - 1) / (n - 1) : 0;
  for (let i = 0; i < n; i++) put(out, n - 1 - i, n > 1 && i == n - 1 ? T - 1 : nearest(i * step));
  return n;
}

/**
 * For solvers of the probability flow, which end at a level of their own: n + 1 timesteps below `last`, of which the
 * lowest is left out. Where n is close to T a timestep may come twice.
 */
export function solverTimesteps(out: usize, spacing: i32, T: i32, n: i32, offset: i32, last: i32): i32 {
  const start = <f64>last, step = spacing == TRAILING ? start - <f64>T / n - start : <f64>(last - 1) / n;
  const ratio = last / (n + 1);
  let count = 0;
  for (let i = 0; i < n; i++) {
    const left = n - i;
    const t: f64 = spacing == LEADING ? left * ratio + offset
      : spacing == TRAILING ? nearest(start + i * step) - 1
      : left == n ? last - 1 : nearest(left * step);
    if (t >= 0 && t < T) put(out, count++, t);
  }
  return count;
}

/** For steps in sigma: as `timesteps`, save that linspace stays real. */
export function realTimesteps(out: usize, spacing: i32, T: i32, n: i32, offset: i32, single: bool): i32 {
  if (spacing != LINSPACE) return timesteps(out, spacing, T, n, offset);
  const step = n > 1 ? <f64>(T - 1) / (n - 1) : 0;
  for (let i = 0; i < n; i++) put(out, n - 1 - i, rounded(n > 1 && i == n - 1 ? T - 1 : i * step, single));
  return n;
}

/** For latent consistency models: n of the `original` timesteps that the model was distilled at, from the top. */
export function lcmTimesteps(out: usize, T: i32, n: i32, original: i32): i32 {
  const stride = T / original;
  for (let i = 0; i < n; i++) put(out, i, (original - <i32>((<f64>original / n) * i)) * stride - 1);
  return n;
}

/** For the reverse SDE: n real timesteps from T - 1 to a thousandth of it (Song et al. 2021, appendix C). */
export function sdeTimesteps(out: usize, T: i32, n: i32): i32 {
  const step = n > 1 ? (1 - SDE_END) / (n - 1) : 0;
  for (let i = 0; i < n; i++) put(out, i, (1 - i * step) * (T - 1));
  return n;
}

const SDE_END = 1e-3;

/** Turns a list around, for runs towards noise. */
export function reverse(values: usize, n: i32): void {
  for (let i = 0; i < n >> 1; i++) {
    const value = get(values, i);
    put(values, i, get(values, n - 1 - i));
    put(values, n - 1 - i, value);
  }
}
