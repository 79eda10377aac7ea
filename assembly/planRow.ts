// What the samplers share: how a row reads the network's answer and adds up what it makes of it.
//
// A level of noise is given by its signal and noise, x = signal*x_0 + noise*eps, or by their ratio sigma = noise/signal.
// `answer` points to four numbers that say how to read the network's answer: PREDICTION, CLIP, RATIO, MAXIMUM.

import {
  A, B, CALLS, CLIP, ROW_FIELDS, STORE, S_X, THRESHOLD_MAX, THRESHOLD_RATIO, TIMESTEP, W_H, W_X,
} from './row';
import { get, put } from './schedule';

export const EPSILON: i32 = 0;
export const SAMPLE: i32 = 1;
export const V_PREDICTION: i32 = 2;

const PREDICTION = 0;
const BOUND = 1; // Infinity: no clipping
const RATIO = 2; // 0: no dynamic thresholding
const MAXIMUM = 3;

// fields of a row that come in threes: of x, of the model's answer, of the start
export const SUM: i32 = W_X;
export const KEPT: i32 = S_X;
const OF_X = 0;
const OF_MODEL = 1;
const OF_START = 2;

/** Row i, which asks the network at a level of noise: start = a*x + b*model, by what the model predicts. */
export function askingRow(rows: usize, i: i32, timestep: f64, signal: f64, noise: f64, answer: usize): usize {
  const row = restingRow(rows, i, timestep);
  put(row, CLIP, get(answer, BOUND));
  put(row, THRESHOLD_RATIO, get(answer, RATIO));
  put(row, THRESHOLD_MAX, get(answer, MAXIMUM));
  put(row, CALLS, 1);
  const prediction = predictionOf(answer);
  if (prediction == EPSILON) {
    put(row, A, 1 / signal);
    put(row, B, -noise / signal);
  } else if (prediction == SAMPLE) {
    put(row, B, 1);
  } else {
    put(row, A, signal);
    put(row, B, -noise);
  }
  return row;
}

/** The same at a level given by sigma. */
export function askingAt(rows: usize, i: i32, timestep: f64, sigma: f64, answer: usize): usize {
  return askingRow(rows, i, timestep, signalOf(sigma), noiseOf(sigma), answer);
}

/** Row i, which asks nothing and so far leaves nothing. */
export function restingRow(rows: usize, i: i32, timestep: f64): usize {
  const row = rows + (<usize>(i * ROW_FIELDS) << 3);
  memory.fill(row, 0, ROW_FIELDS << 3);
  put(row, TIMESTEP, timestep);
  put(row, CLIP, Infinity);
  return row;
}

/** A row that leaves x as it is and keeps it in a slot. */
export function keepingRow(rows: usize, i: i32, timestep: f64, slot: i32): void {
  const row = restingRow(rows, i, timestep);
  addX(row, SUM, 1);
  keepX(row, slot);
}

/** Adds weight*x to a row's SUM, or to what is KEPT. */
export function addX(row: usize, to: i32, weight: f64): void {
  add(row, to + OF_X, weight);
}

/** Adds weight*model. */
export function addModel(row: usize, to: i32, weight: f64): void {
  add(row, to + OF_MODEL, weight);
}

/** Adds weight*start. */
export function addStart(row: usize, to: i32, weight: f64): void {
  add(row, to + OF_START, weight);
}

/** Adds weight times what a slot holds. */
export function addSlot(row: usize, slot: i32, weight: f64): void {
  add(row, W_H - 1 + slot, weight);
}

/** Adds weight*eps: what the model says the noise in x is or, with `rederive`, what its start implies. */
export function addNoise(
  row: usize, to: i32, weight: f64, signal: f64, noise: f64, prediction: i32, rederive: bool,
): void {
  if (rederive) {
    addX(row, to, weight / noise);
    addStart(row, to, (-weight * signal) / noise);
  } else if (prediction == EPSILON) {
    addModel(row, to, weight);
  } else if (prediction == SAMPLE) {
    addX(row, to, weight / noise);
    addModel(row, to, (-weight * signal) / noise);
  } else {
    addX(row, to, weight * noise);
    addModel(row, to, weight * signal);
  }
}

/** The same at a level given by sigma; where the start is bounded, the noise follows from it. */
export function addNoiseAt(row: usize, to: i32, weight: f64, sigma: f64, answer: usize): void {
  addNoise(row, to, weight, signalOf(sigma), noiseOf(sigma), predictionOf(answer), isBounded(answer));
}

export function keepX(row: usize, slot: i32): void {
  put(row, STORE, slot);
  addX(row, KEPT, 1);
}

export function keepNoiseAt(row: usize, slot: i32, sigma: f64, answer: usize): void {
  put(row, STORE, slot);
  addNoiseAt(row, KEPT, 1, sigma, answer);
}

/** Whether the start is clamped or divided by a quantile, so that it is no longer linear in x and the model. */
export function isBounded(answer: usize): bool {
  return get(answer, BOUND) < Infinity || get(answer, RATIO) > 0;
}

export function predictionOf(answer: usize): i32 {
  return <i32>get(answer, PREDICTION);
}

export function signalOf(sigma: f64): f64 {
  return 1 / sqrt(sigma * sigma + 1);
}

export function noiseOf(sigma: f64): f64 {
  return sigma / sqrt(sigma * sigma + 1);
}

/**
 * How many of the points at sigma i and before it a method of some order can use: no more than there are, and none at a
 * sigma that comes twice, which rounding to whole timesteps can bring about.
 */
export function pointsAt(sigmas: usize, i: i32, order: i32): i32 {
  let count = 1;
  while (count < order && count <= i && get(sigmas, i - count) != get(sigmas, i - count + 1)) count++;
  return count;
}

/** The level of a timestep; what lies past the end of the run has the level `last`. */
export function abarAt(abar: usize, timestep: f64, last: f64): f64 {
  return timestep < 0 ? last : get(abar, <i32>timestep);
}

function add(row: usize, field: i32, value: f64): void {
  put(row, field, get(row, field) + value);
}
