// One row of a plan over a batch of images: the kernel of every sampler.
//
// The work goes in runs of RUN elements, small enough that noise and estimates stay in the first-level cache between the
// passes. The order of the sums is fixed (x, model, start, h1, h2, h3, saved, noise), so the result depends neither on
// which terms a row leaves out nor on how a batch is split.

import { add, begin, combine, divide, estimate } from './combine';
import { alloc, mark, reset } from './memory';
import { fill, setSeed } from './random';
import * as Row from './row';
import { quantile } from './threshold';
import { scaleNoise } from './variance';

const RUN = 1024; // elements; a multiple of the 16 that make a group of noise

const startRun = memory.data(RUN * 4, 16);
const noiseRun = memory.data(RUN * 4, 16);

// where `buffers` holds which pointer
const X = 0;
const MODEL = 4;
const H1 = 8; // and h2, h3, saved
const NOISE = 24;
const START_OUT = 28;
const OUT = 32;

/**
 * Runs a row (see row.ts) for `images` images of `pixels` elements. `buffers` points to nine pointers: x, model, h1, h2,
 * h3, saved, noise, startOut, out. What has weight 0 is not read. Without `noise`, it is drawn as `normals` draws it from
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
  const drawing = weight(row, Row.SIGMA) != 0 && load<usize>(buffers, NOISE) == 0;
  if (drawing) setSeed(seed);
  for (let i = 0; i < images; i++) {
    const imageAt = <usize>(i * pixels) << 2;
    const model = load<usize>(buffers, MODEL) + (<usize>(i * modelStride) << 2);
    let limit: f32 = 0;
    if (weight(row, Row.THRESHOLD_RATIO) > 0) {
      limit = limitOf(row, load<usize>(buffers, X) + imageAt, model, pixels);
      if (limit < 0) return 0;
    }
    for (let done = 0; done < pixels; done += RUN) {
      const count = min(RUN, pixels - done);
      if (drawing) fill(noiseRun, count, draw, first + i, done >> 4);
      const at = <usize>done << 2;
      run(row, buffers, imageAt + at, model + at, <usize>pixels << 2, <usize>count << 2, limit);
    }
  }
  return 1;
}

// how far an image's estimates may reach; negative if there is no memory to find out
function limitOf(row: usize, x: usize, model: usize, pixels: i32): f32 {
  const before = mark();
  const estimates = alloc(4 * <f64>pixels);
  if (!estimates) return -1;
  for (let at: usize = 0; at < <usize>pixels << 2; at += 4 * RUN) {
    const bytes = min((<usize>pixels << 2) - at, 4 * RUN);
    estimate(estimates + at, x + at, weight(row, Row.A), model + at, weight(row, Row.B), Infinity, bytes);
  }
  const reach = quantile(estimates, pixels, weight(row, Row.THRESHOLD_RATIO));
  reset(before);
  return min<f32>(max<f32>(reach, 1), weight(row, Row.THRESHOLD_MAX));
}

// one run of one image; its elements begin `at` bytes into the images, the model's values for them at `model`, and what
// their variance comes from `half` bytes further
function run(row: usize, buffers: usize, at: usize, model: usize, half: usize, bytes: usize, limit: f32): void {
  const x = load<usize>(buffers, X) + at;
  const startOut = load<usize>(buffers, START_OUT);
  const start = startOut ? startOut + at : startRun;
  if (startOut || weight(row, Row.W_START) != 0) {
    const clip = limit == 0 ? weight(row, Row.CLIP) : limit;
    estimate(start, x, weight(row, Row.A), model, weight(row, Row.B), clip, bytes);
    if (limit != 0) divide(start, limit, bytes);
  }

  begin();
  add(weight(row, Row.W_X), x);
  add(weight(row, Row.W_MODEL), model);
  add(weight(row, Row.W_START), start);
  for (let i = 0; i < 4; i++) add(weight(row, Row.W_H1 + i), load<usize>(buffers + (i << 2), H1) + at);
  if (weight(row, Row.SIGMA) != 0) addNoise(row, load<usize>(buffers, NOISE), at, model + half, bytes);
  combine(load<usize>(buffers, OUT) + at, bytes);
}

function addNoise(row: usize, noise: usize, at: usize, variance: usize, bytes: usize): void {
  noise = noise ? noise + at : noiseRun;
  if (load<f64>(row + (Row.VARIANCE << 3)) == Row.VARIANCE_FIXED) return add(weight(row, Row.SIGMA), noise);
  scaleNoise(noiseRun, noise, row, variance, bytes);
  add(1, noiseRun);
}

// @ts-ignore: decorator
@inline
function weight(row: usize, field: i32): f32 {
  return <f32>load<f64>(row + (field << 3));
}
