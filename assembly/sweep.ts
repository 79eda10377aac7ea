// The loop over pixels that every step is made of:
//
//   start = clamp(a*x + b*model, -clip, clip)
//   out   = wX*x + wModel*model + wStart*start + wOther*other
//
// A sweep is a table of operands, set once a step and run on one stretch of the images after another, of RUN elements at
// most.

import { RUN } from './memory';

/** Bytes of a table: seven operands, each a pointer, a factor and whether the pointer moves along. */
export const SWEEP_BYTES = 84;
const SLOT: usize = 12;

// the operands and what their factors are: inputs, then outputs
export const X: usize = 0; // a
export const MODEL: usize = 12; // b
export const TERM_X: usize = 24; // wX
export const TERM_MODEL: usize = 36; // wModel
export const OTHER: usize = 48; // wOther
export const START: usize = 60; // wStart
export const OUT: usize = 72; // clip

const BLOCK: usize = 32; // bytes of each operand that one turn of the loop takes

const zeros = memory.data(RUN * 4, 16);
const nowhere = memory.data(RUN * 4, 16);
const rests = memory.data(7 * 32, 16);

/** A table that reads nothing and writes nowhere. */
export function clearSweep(table: usize): void {
  for (let slot: usize = 0; slot < START; slot += SLOT) operand(table, slot, 0, 0);
  operand(table, START, nowhere, 0, false);
  operand(table, OUT, nowhere, Infinity, false);
}

/** Sets an operand; an input of factor 0 is not read. What moves is an image of the batch, what does not a run of its own. */
export function operand(table: usize, slot: usize, pointer: usize, factor: f32, moves: bool = true): void {
  const absent = factor == 0 && slot < START;
  store<usize>(table + slot, absent ? zeros : pointer);
  store<f32>(table + slot, factor, 4);
  store<usize>(table + slot, moves && !absent ? usize.MAX_VALUE : 0, 8);
}

/** Limits the estimates of a sweep to +-clip. */
export function clipTo(table: usize, clip: f32): void {
  store<f32>(table + OUT, clip, 4);
}

/** Runs a sweep over `bytes` bytes that begin `at` bytes into the images, `modelAt` into the model's values. */
export function sweep(table: usize, at: usize, modelAt: usize, bytes: usize): void {
  const x = pointerAt(table, X, at);
  const model = pointerAt(table, MODEL, modelAt);
  const termX = pointerAt(table, TERM_X, at);
  const termModel = pointerAt(table, TERM_MODEL, modelAt);
  const other = pointerAt(table, OTHER, at);
  const start = pointerAt(table, START, at);
  const out = pointerAt(table, OUT, at);

  const whole = bytes & ~(BLOCK - 1);
  if (x == termX && model == termModel) both(table, x, model, other, start, out, whole);
  else if (x == termX && termModel == zeros) onlyX(table, x, model, other, start, out, whole);
  else if (model == termModel && termX == zeros) onlyModel(table, x, model, other, start, out, whole);
  else split(table, x, model, termX, termModel, other, start, out, whole);
  if (whole == bytes) return;

  // the rest goes through a block of its own, so that nothing past the end is touched
  const rest = bytes - whole;
  memory.copy(rests, x + whole, rest);
  memory.copy(rests + BLOCK, model + whole, rest);
  memory.copy(rests + 2 * BLOCK, termX + whole, rest);
  memory.copy(rests + 3 * BLOCK, termModel + whole, rest);
  memory.copy(rests + 4 * BLOCK, other + whole, rest);
  const r = rests;
  split(table, r, r + BLOCK, r + 2 * BLOCK, r + 3 * BLOCK, r + 4 * BLOCK, r + 5 * BLOCK, r + 6 * BLOCK, BLOCK);
  memory.copy(start + whole, rests + 5 * BLOCK, rest);
  memory.copy(out + whole, rests + 6 * BLOCK, rest);
}

/** Where an operand is for the stretch that begins `at` bytes into the images. */
export function pointerAt(table: usize, slot: usize, at: usize): usize {
  return load<usize>(table + slot) + (at & load<usize>(table + slot, 8));
}

// the usual cases: what is part of the estimate and also a term is read once. Rows of ddpm have no term of the model, rows
// of ddim none of x
const BOTH: i32 = 0;
const ONLY_X: i32 = 1;
const ONLY_MODEL: i32 = 2;
const SPLIT: i32 = 3;

function both(table: usize, x: usize, model: usize, other: usize, start: usize, out: usize, bytes: usize): void {
  blocks(table, x, model, x, model, other, start, out, bytes, BOTH);
}

function onlyX(table: usize, x: usize, model: usize, other: usize, start: usize, out: usize, bytes: usize): void {
  blocks(table, x, model, x, model, other, start, out, bytes, ONLY_X);
}

function onlyModel(table: usize, x: usize, model: usize, other: usize, start: usize, out: usize, bytes: usize): void {
  blocks(table, x, model, x, model, other, start, out, bytes, ONLY_MODEL);
}

// a term of weight 0 must stay out of the sum even if x or model is infinite, so it is read from elsewhere
function split(
  table: usize,
  x: usize,
  model: usize,
  termX: usize,
  termModel: usize,
  other: usize,
  start: usize,
  out: usize,
  bytes: usize,
): void {
  blocks(table, x, model, termX, termModel, other, start, out, bytes, SPLIT);
}

@inline
function blocks(
  table: usize,
  x: usize,
  model: usize,
  termX: usize,
  termModel: usize,
  other: usize,
  start: usize,
  out: usize,
  bytes: usize,
  terms: i32,
): void {
  const a = v128.load32_splat(table, X + 4);
  const b = v128.load32_splat(table, MODEL + 4);
  const wX = v128.load32_splat(table, TERM_X + 4);
  const wModel = v128.load32_splat(table, TERM_MODEL + 4);
  const wOther = v128.load32_splat(table, OTHER + 4);
  const wStart = v128.load32_splat(table, START + 4);
  const high = v128.load32_splat(table, OUT + 4);
  const low = f32x4.neg(high);
  for (const end = out + bytes; out < end; ) {
    const x0 = v128.load(x);
    const m0 = v128.load(model);
    const e0 = clamped(f32x4.add(f32x4.mul(a, x0), f32x4.mul(b, m0)), low, high);
    v128.store(start, e0);
    let s0 = f32x4.mul(terms == ONLY_MODEL ? wModel : wX, terms == SPLIT ? v128.load(termX) : terms == ONLY_MODEL ? m0 : x0);
    if (terms == BOTH || terms == SPLIT) {
      s0 = f32x4.add(s0, f32x4.mul(wModel, terms == SPLIT ? v128.load(termModel) : m0));
    }
    s0 = f32x4.add(s0, f32x4.mul(wStart, e0));
    v128.store(out, f32x4.add(s0, f32x4.mul(wOther, v128.load(other))));

    const x1 = v128.load(x, 16);
    const m1 = v128.load(model, 16);
    const e1 = clamped(f32x4.add(f32x4.mul(a, x1), f32x4.mul(b, m1)), low, high);
    v128.store(start, e1, 16);
    let s1 = f32x4.mul(
      terms == ONLY_MODEL ? wModel : wX,
      terms == SPLIT ? v128.load(termX, 16) : terms == ONLY_MODEL ? m1 : x1,
    );
    if (terms == BOTH || terms == SPLIT) {
      s1 = f32x4.add(s1, f32x4.mul(wModel, terms == SPLIT ? v128.load(termModel, 16) : m1));
    }
    s1 = f32x4.add(s1, f32x4.mul(wStart, e1));
    v128.store(out, f32x4.add(s1, f32x4.mul(wOther, v128.load(other, 16))), 16);

    x += BLOCK;
    model += BLOCK;
    if (terms == SPLIT) {
      termX += BLOCK;
      termModel += BLOCK;
    }
    other += BLOCK;
    start += BLOCK;
    out += BLOCK;
  }
}

// the order of the operands of pmin and pmax lets NaN through
@inline
function clamped(value: v128, low: v128, high: v128): v128 {
  return f32x4.pmax(f32x4.pmin(value, high), low);
}
