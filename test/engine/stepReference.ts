import { rowFields } from '../../src/diffusion/planRow.ts';
import { allocate, drawNormals, floats, type Kernels, place } from './raw.ts';

/** The fields of a row that a test sets; the rest are as in a row that does nothing. */
export interface Row {
  a?: number;
  b?: number;
  clip?: number;
  /** Weights of x, model, start, h1 to h6. */
  weights?: readonly number[];
  sigma?: number;
  variance?: 0 | 1 | 2;
  logVarianceMin?: number;
  logVarianceMax?: number;
  thresholdRatio?: number;
  thresholdMax?: number;
  /** A slot, and the weights of x, model and start in what it keeps. */
  store?: number;
  stored?: readonly [number, number, number];
}

/** A batch to step: the images in use, one after another. */
export interface Batch {
  images: number;
  pixels: number;
  /** Floats between the model's values of two images; `pixels` by default. */
  modelStride?: number;
  x?: Float32Array;
  model?: Float32Array;
  /** h1 to h6. */
  others?: readonly (Float32Array | undefined)[];
  noise?: Float32Array;
  seed?: bigint;
  draw?: number;
  first?: bigint;
}

/** The row as the engine reads it (assembly/row.ts). */
export function rowValues(row: Row): Float64Array {
  const weights = row.weights ?? [];
  const values = new Float64Array(rowFields);
  values.set([0, row.a ?? 0, row.b ?? 0, row.clip ?? Infinity]);
  for (let i = 0; i < 9; i++) values[4 + i] = weights[i] ?? 0;
  values.set([row.sigma ?? 0, row.variance ?? 0, row.logVarianceMin ?? 0, row.logVarianceMax ?? 0], 13);
  values.set([row.thresholdRatio ?? 0, row.thresholdMax ?? 1, 1, row.store ?? 0, ...(row.stored ?? [])], 17);
  return values;
}

/** The engine's step: the next images, and the estimates where they are asked for. */
export function runStep(engine: Kernels, row: Row, batch: Batch, { keepStart = true, inPlace = false } = {}) {
  const mark = engine.mark();
  const { images, pixels } = batch;
  const bytes = 4 * images * pixels;
  const [x, model, noise] = [batch.x, batch.model, batch.noise].map((values) => (values ? place(engine, values) : 0));
  const others = [0, 1, 2, 3, 4, 5].map((i) => (batch.others?.[i] ? place(engine, batch.others[i]) : 0));
  const start = keepStart ? allocate(engine, bytes) : 0;
  const out = inPlace ? x : allocate(engine, bytes);
  const buffers = place(engine, new Uint32Array([x, model, ...others, noise, start, out]));
  const stride = batch.modelStride ?? pixels;
  const at = place(engine, rowValues(row));
  const done = engine.step(at, buffers, images, pixels, stride, batch.seed ?? 0n, batch.draw ?? 0, batch.first ?? 0n);
  if (done !== 1) throw new Error('the step found no memory');
  const result = {
    out: floats(engine, out, images * pixels),
    start: keepStart ? floats(engine, start, images * pixels) : undefined,
    stored: row.store ? floats(engine, others[row.store - 1], images * pixels) : undefined,
  };
  engine.reset(mark);
  return result;
}

/** The same step one element at a time, every operation rounded to float32. */
export function referenceStep(engine: Kernels, row: Row, batch: Batch) {
  const { images, pixels, x, model } = batch;
  const f = Math.fround;
  const [a, b, clip, sigma] = [row.a ?? 0, row.b ?? 0, row.clip ?? Infinity, row.sigma ?? 0].map(f);
  const weights = Array.from({ length: 9 }, (_, i) => f(row.weights?.[i] ?? 0));
  const noise = batch.noise ?? drawNormals(engine, images, pixels, batch);
  const stride = batch.modelStride ?? pixels;
  const start = new Float32Array(images * pixels);
  const out = new Float32Array(images * pixels);
  const stored = row.store ? new Float32Array(images * pixels) : undefined;
  for (let image = 0; image < images; image++) {
    for (let i = 0; i < pixels; i++) {
      const at = image * pixels + i;
      start[at] = f(f(a * (x?.[at] ?? 0)) + f(b * (model?.[image * stride + i] ?? 0)));
    }
    if (row.thresholdRatio) limit(start.subarray(image * pixels, (image + 1) * pixels), row);
    for (let i = 0; i < pixels; i++) {
      const at = image * pixels + i;
      if (!row.thresholdRatio) start[at] = clamp(start[at], clip);
      const values = [
        x?.[at],
        model?.[image * stride + i],
        start[at],
        ...[0, 1, 2, 3, 4, 5].map((k) => batch.others?.[k]?.[at]),
      ];
      if (stored) {
        let kept = 0;
        for (let term = 0; term < 3; term++) kept = f(kept + f(f(row.stored![term]) * values[term]!));
        stored[at] = kept;
      }
      let sum = 0;
      for (let term = 0; term < 9; term++) if (weights[term] !== 0) sum = f(sum + f(weights[term] * values[term]!));
      if (sigma !== 0) sum = f(sum + f(deviation(row, sigma, model?.[image * stride + pixels + i] ?? 0) * noise[at]));
      out[at] = sum;
    }
  }
  return { out, start, stored };
}

/** Where two arrays differ, for short messages: "index: actual, expected" of the first few; zeros of either sign are equal. */
export function differences(actual: ArrayLike<number> | undefined, expected: ArrayLike<number> | undefined): string[] {
  if (actual?.length !== expected?.length) return [`length: ${actual?.length}, ${expected?.length}`];
  const found: string[] = [];
  for (let i = 0; i < (actual?.length ?? 0) && found.length < 5; i++) {
    const [a, b] = [actual![i], expected![i]];
    if (a !== b && !(Number.isNaN(a) && Number.isNaN(b))) found.push(`${i}: ${a}, ${b}`);
  }
  return found;
}

const clamp = (value: number, limit: number) => Math.min(Math.max(value, -limit), limit); // NaN stays NaN

function deviation(row: Row, sigma: number, v: number): number {
  const f = Math.fround;
  if (!row.variance) return sigma;
  if (row.variance === 1) return f(sigma * f(Math.sqrt(Math.max(v, 0))));
  const fraction = f(f(v + 1) * 0.5);
  const logVariance = f(f(fraction * f(row.logVarianceMax!)) + f(f(1 - fraction) * f(row.logVarianceMin!)));
  return f(sigma * f(Math.exp(f(logVariance * 0.5))));
}

// torch.quantile in float32, then clamp and divide
function limit(start: Float32Array, row: Row): void {
  const f = Math.fround;
  const sorted = start.map(Math.abs).sort();
  const rank = f(f(row.thresholdRatio!) * (start.length - 1));
  const [below, above] = [sorted[Math.floor(rank)], sorted[Math.ceil(rank)]];
  const weight = f(rank - Math.floor(rank));
  const reach = weight < 0.5 ? f(below + f(weight * f(above - below))) : f(above - f(f(above - below) * f(1 - weight)));
  const s = Math.min(Math.max(reach, 1), f(row.thresholdMax ?? 1));
  for (let i = 0; i < start.length; i++) start[i] = f(clamp(start[i], s) / s);
}
