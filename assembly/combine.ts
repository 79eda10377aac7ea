// Sums of weighted runs of float32 values, four terms a pass.

import { loadPart, storePart } from './tail';

const MOST = 8;
const PER_PASS = 4;
const NOTHING = 4096; // bytes: the longest run

const zeros = memory.data(NOTHING, 16);
const pointers = memory.data((MOST + PER_PASS) * 4, 16);
const weights = memory.data((MOST + PER_PASS) * 4, 16);
let listed: usize = 0;

/** Begins a list of terms. */
export function begin(): void {
  listed = 0;
}

/** The next term of the list; nothing if its weight is 0. */
export function add(weight: f32, values: usize): void {
  if (weight == 0) return;
  store<f32>(weights + listed, weight);
  store<usize>(pointers + listed, values);
  listed += 4;
}

/** out = the sum of the listed terms, in their order; `out` may be the first of them. At most 4096 bytes. */
export function combine(out: usize, bytes: usize): void {
  const end = listed;
  // the list is filled up to whole passes: four terms, then the sum so far and three more
  for (let i = 0; i < PER_PASS; i++) {
    store<f32>(weights + listed, 0);
    store<usize>(pointers + listed, zeros);
    listed += 4;
  }
  pass(out, 0, bytes);
  for (let from: usize = 16; from < end; from += 12) {
    store<f32>(weights + from - 4, 1);
    store<usize>(pointers + from - 4, out);
    pass(out, from - 4, bytes);
  }
}

function pass(out: usize, from: usize, bytes: usize): void {
  const p0 = load<usize>(pointers + from);
  const p1 = load<usize>(pointers + from, 4);
  const p2 = load<usize>(pointers + from, 8);
  const p3 = load<usize>(pointers + from, 12);
  const w0 = v128.load32_splat(weights + from);
  const w1 = v128.load32_splat(weights + from, 4);
  const w2 = v128.load32_splat(weights + from, 8);
  const w3 = v128.load32_splat(weights + from, 12);
  const whole = bytes & ~15;
  for (let i: usize = 0; i < whole; i += 16) {
    let sum = f32x4.mul(w0, v128.load(p0 + i));
    sum = f32x4.add(sum, f32x4.mul(w1, v128.load(p1 + i)));
    sum = f32x4.add(sum, f32x4.mul(w2, v128.load(p2 + i)));
    sum = f32x4.add(sum, f32x4.mul(w3, v128.load(p3 + i)));
    v128.store(out + i, sum);
  }
  if (whole == bytes) return;
  const rest = bytes - whole;
  let sum = f32x4.mul(w0, loadPart(p0 + whole, rest));
  sum = f32x4.add(sum, f32x4.mul(w1, loadPart(p1 + whole, rest)));
  sum = f32x4.add(sum, f32x4.mul(w2, loadPart(p2 + whole, rest)));
  sum = f32x4.add(sum, f32x4.mul(w3, loadPart(p3 + whole, rest)));
  storePart(out + whole, sum, rest);
}

/** start = clamp(a*x + b*model, -clip, clip); what has factor 0 is not read. At most 4096 bytes. */
export function estimate(start: usize, x: usize, a: f32, model: usize, b: f32, clip: f32, bytes: usize): void {
  if (a == 0) x = zeros;
  if (b == 0) model = zeros;
  const va = f32x4.splat(a);
  const vb = f32x4.splat(b);
  const high = f32x4.splat(clip);
  const low = f32x4.splat(-clip);
  const whole = bytes & ~15;
  for (let i: usize = 0; i < whole; i += 16) {
    v128.store(start + i, clamped(va, v128.load(x + i), vb, v128.load(model + i), low, high));
  }
  if (whole == bytes) return;
  const rest = bytes - whole;
  storePart(start + whole, clamped(va, loadPart(x + whole, rest), vb, loadPart(model + whole, rest), low, high), rest);
}

// the order of the operands of pmin and pmax lets NaN through
// @ts-ignore: decorator
@inline
function clamped(a: v128, x: v128, b: v128, model: v128, low: v128, high: v128): v128 {
  return f32x4.pmax(f32x4.pmin(f32x4.add(f32x4.mul(a, x), f32x4.mul(b, model)), high), low);
}

/** values /= by, in place. */
export function divide(values: usize, by: f32, bytes: usize): void {
  for (const end = values + bytes; values < end; values += 4) store<f32>(values, load<f32>(values) / by);
}
