// One row of a plan over a batch of images: the kernel of every sampler.
//
// The order of the sums is fixed (x, model, start, h1 to h6, noise), so the result depends neither on which terms
// a row leaves out nor on how a batch is split.

import { RUN, alloc, mark, reset } from './memory';
import { fill, setSeed } from './random';
import * as Row from './row';
import * as Slot from './sweep';
import { SWEEP_BYTES, clearSweep, clipTo, operand, pointerAt, sweep } from './sweep';
import { limit, quantile } from './threshold';
import { scaleNoise } from './variance';

// where `buffers` holds which pointer; h2 to h6 follow h1
const BUFFER_X = 0;
const BUFFER_MODEL = 4;
const BUFFER_H1 = 8;
const BUFFER_NOISE = 32;
const BUFFER_START = 36;
const BUFFER_OUT = 40;

const startRun = memory.data(RUN * 4, 16);
const noiseRun = memory.data(RUN * 4, 16);
const storeRun = memory.data(RUN * 4, 16);
const measures = memory.data(SWEEP_BYTES); // the sweep whose estimates are measured for thresholding
const estimates = memory.data(SWEEP_BYTES); // the one whose estimates are ready before the sum
const stores = memory.data(SWEEP_BYTES); // the one of what the row keeps in a slot
const sums = memory.data(4 * SWEEP_BYTES); // those that add up: x, model, start and a term, then two terms more each

/**
 * Runs a row (see row.ts) for `images` images of `pixels` elements. `buffers` points to eleven pointers: x, model, h1 to
 * h6, noise, startOut, out. What has weight 0 is not read. Without `noise`, it is drawn as `normals` draws it from
 * (seed, draw, first); without `startOut`, the estimates are not kept. `out` may be `x`.
 *
 * The model's values of image i begin at model + 4*i*modelStride; where the row learns its variance, the `pixels` values
 * after them are what the variance comes from. Returns 0 if there is no memory to threshold in, else 1.
 */
export function step(
  row: usize,
  buffers: usize,
  images: i32,
  pixels: i32,
  modelStride: i32,
  seed: u64,
  draw: u32,
  first: u64,
): i32 {
  const noisy = weight(row, Row.SIGMA) != 0;
  const noise = load<usize>(buffers, BUFFER_NOISE);
  const scaled = noisy && isScaled(row);
  const thresholded = weight(row, Row.THRESHOLD_RATIO) > 0;
  const slot = slotOf(row);
  const end = setSweeps(row, buffers, thresholded);
  if (noisy && !noise) setSeed(seed);

  for (let i = 0; i < images; i++) {
    const image = <usize>(i * pixels) << 2;
    const model = <usize>(i * modelStride) << 2;
    const reach = thresholded ? reachOf(row, image, model, pixels) : 0;
    if (reach < 0) return 0;
    for (let done = 0; done < pixels; done += RUN) {
      const count = min(RUN, pixels - done);
      const bytes = <usize>count << 2;
      const at = image + (<usize>done << 2);
      const modelAt = model + (<usize>done << 2);
      if (noisy && !noise) fill(noiseRun, count, draw, first + i, done >> 4);
      if (scaled) {
        const variance = load<usize>(buffers, BUFFER_MODEL) + modelAt + (<usize>pixels << 2);
        scaleNoise(noiseRun, noise ? noise + at : noiseRun, row, variance, bytes);
      }
      if (thresholded || slot) sweep(estimates, at, modelAt, bytes);
      if (thresholded) limit(pointerAt(estimates, Slot.START, at), reach, bytes);
      // what is kept is of the x before the row, and what the row reads is of the slot before it
      if (slot) sweep(stores, at, modelAt, bytes);
      sweep(sums, at, modelAt, bytes);
      for (let rest = sums + SWEEP_BYTES; rest < end; rest += SWEEP_BYTES) sweep(rest, at, at, bytes);
      if (slot) memory.copy(load<usize>(buffers + (slot << 2), BUFFER_H1 - 4) + at, storeRun, bytes);
    }
  }
  return 1;
}

// the tables of a row; where they end
function setSweeps(row: usize, buffers: usize, thresholded: bool): usize {
  const x = load<usize>(buffers, BUFFER_X);
  const model = load<usize>(buffers, BUFFER_MODEL);
  const out = load<usize>(buffers, BUFFER_OUT);
  const kept = load<usize>(buffers, BUFFER_START);
  const start = kept ? kept : startRun;
  const wStart = weight(row, Row.W_START);

  clearSweep(sums);
  operand(sums, Slot.OUT, out, Infinity);
  operand(sums, Slot.TERM_X, x, weight(row, Row.W_X));
  operand(sums, Slot.TERM_MODEL, model, weight(row, Row.W_MODEL));
  operand(sums, Slot.START, start, wStart, kept != 0);
  if (thresholded || slotOf(row)) {
    // the estimate is ready before the sum and comes in as its x
    clearSweep(measures);
    clearSweep(estimates);
    setEstimate(measures, row, x, model);
    setEstimate(estimates, row, x, model);
    if (!thresholded) clipTo(estimates, weight(row, Row.CLIP));
    operand(estimates, Slot.START, start, 0, kept != 0);
    operand(sums, Slot.X, start, 1, kept != 0);

    clearSweep(stores);
    operand(stores, Slot.TERM_X, x, weight(row, Row.S_X));
    operand(stores, Slot.TERM_MODEL, model, weight(row, Row.S_MODEL));
    operand(stores, Slot.OTHER, start, weight(row, Row.S_START), kept != 0);
    operand(stores, Slot.OUT, storeRun, Infinity, false);
  } else if (kept != 0 || wStart != 0) {
    setEstimate(sums, row, x, model);
    operand(sums, Slot.OUT, out, weight(row, Row.CLIP));
  }
  return setOthers(row, buffers, out);
}

function setEstimate(table: usize, row: usize, x: usize, model: usize): void {
  operand(table, Slot.X, x, weight(row, Row.A));
  operand(table, Slot.MODEL, model, weight(row, Row.B));
}

// the terms after the estimate: the history, then the noise
function setOthers(row: usize, buffers: usize, out: usize): usize {
  table = sums;
  slot = Slot.OTHER;
  for (let i = 0; i < Row.SLOTS; i++) add(load<usize>(buffers + (i << 2), BUFFER_H1), weight(row, Row.W_H + i), out, true);
  const noise = load<usize>(buffers, BUFFER_NOISE);
  const sigma = weight(row, Row.SIGMA);
  if (sigma != 0 && isScaled(row)) add(noiseRun, 1, out, false);
  else add(noise ? noise : noiseRun, sigma, out, noise != 0);
  return table + SWEEP_BYTES;
}

let table: usize = 0; // the last table in use
let slot: usize = 0; // its next free operand

function add(pointer: usize, factor: f32, out: usize, moves: bool): void {
  if (factor == 0) return;
  if (slot > Slot.OTHER) {
    table += SWEEP_BYTES;
    clearSweep(table);
    operand(table, Slot.TERM_X, out, 1);
    operand(table, Slot.OUT, out, Infinity);
    slot = Slot.TERM_MODEL;
  }
  operand(table, slot, pointer, factor, moves);
  slot = slot == Slot.TERM_MODEL ? Slot.OTHER : Slot.START;
}

// how far an image's estimates may reach; negative if there is no memory to find out
function reachOf(row: usize, image: usize, model: usize, pixels: i32): f32 {
  const before = mark();
  const values = alloc(4 * <f64>pixels);
  if (!values) return -1;
  operand(measures, Slot.START, values - image, 0);
  const bytes = <usize>pixels << 2;
  for (let done: usize = 0; done < bytes; done += 4 * RUN) {
    sweep(measures, image + done, model + done, min(bytes - done, 4 * RUN));
  }
  const reach = quantile(values, pixels, weight(row, Row.THRESHOLD_RATIO));
  reset(before);
  return min<f32>(max<f32>(reach, 1), weight(row, Row.THRESHOLD_MAX));
}

// the slot that the row keeps something in, or 0
@inline
function slotOf(row: usize): usize {
  return <usize>load<f64>(row + (Row.STORE << 3));
}

@inline
function isScaled(row: usize): bool {
  return load<f64>(row + (Row.VARIANCE << 3)) != Row.VARIANCE_FIXED;
}

@inline
function weight(row: usize, field: i32): f32 {
  return <f32>load<f64>(row + (field << 3));
}
