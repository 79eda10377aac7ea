// What the engine's kernels cost beside plain JavaScript: each result is checked, then timed. A figure is a ratio of the
// fastest of many short, alternating repetitions, which other work on the machine disturbs least.
//   npx tsx bench/kernels.ts
import { pathToFileURL } from 'node:url';
import { allocate, drawNormals, floats, type Kernels, kernels, place } from '../test/engine/raw.ts';
import { rowValues } from '../test/engine/stepReference.ts';
import { type Figure, printFigures } from './figure.ts';

const SIZES = [
  { label: '16 x 1x28x28', images: 16, pixels: 784 },
  { label: '4 x 3x256x256', images: 4, pixels: 3 * 256 * 256 },
];

/** Every figure of this file, in order. */
export function kernelFigures(): Figure[] {
  const engine = kernels();
  return SIZES.flatMap(({ label, images, pixels }) => [
    ...normalFigures(engine, label, images, pixels),
    ...stepFigures(engine, label, images, pixels),
  ]);
}

function normalFigures(engine: Kernels, label: string, images: number, pixels: number): Figure[] {
  const count = images * pixels;
  const mark = engine.mark();
  const out = allocate(engine, 4 * count);
  const filled = new Float32Array(count);
  const draw = () => engine.normals(out, images, pixels, 7n, 1, 0n);
  draw();
  fillNormals(filled);
  checkNormal('normals', floats(engine, out, count));
  checkNormal('the plain loop', filled);
  const [ours, plain] = fastest([draw, () => fillNormals(filled)]);
  engine.reset(mark);
  return [
    { name: `normals, ${label}`, value: (ours * 1e6) / count, unit: 'ns/element', target: '<= 2.4' },
    { name: `normals against Math.random, ${label}`, value: plain / ours, unit: 'x', target: '>= 10' },
  ];
}

// Box and Muller as one would write it
function fillNormals(out: Float32Array): void {
  for (let i = 0; i < out.length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - Math.random()));
    const angle = 2 * Math.PI * Math.random();
    out[i] = radius * Math.cos(angle);
    out[i + 1] = radius * Math.sin(angle);
  }
}

const row = { a: 1.2, b: -0.7, clip: 1, weights: [0.45, 0.1, 0.5] };
// rows that draw noise have no term of the model in ddpm
const noisyRow = { ...row, weights: [0.45, 0, 0.5], sigma: 0.08 };

function stepFigures(engine: Kernels, label: string, images: number, pixels: number): Figure[] {
  const count = images * pixels;
  const mark = engine.mark();
  // small enough to be clipped rarely: where both sides of the clip come often, JavaScript pays for wrong guesses at them
  const [x, model] = [1, 2].map((draw) => drawNormals(engine, images, pixels, { draw }).map((value) => value * 0.25));
  const [xAt, modelAt, startAt, outAt] = [
    place(engine, x),
    place(engine, model),
    ...[0, 0].map(() => allocate(engine, 4 * count)),
  ];
  const run = (values: Float64Array, start: number) => {
    const buffers = place(engine, new Uint32Array([xAt, modelAt, 0, 0, 0, 0, 0, 0, 0, start, outAt]));
    const at = place(engine, values);
    return () => engine.step(at, buffers, images, pixels, pixels, 7n, 1, 0n);
  };
  const quiet = run(rowValues(row), 0);
  const kept = run(rowValues(row), startAt);
  const noisy = run(rowValues(noisyRow), 0);
  const normals = () => engine.normals(outAt, images, pixels, 7n, 1, 0n);
  const [start, out] = [new Float32Array(count), new Float32Array(count)];

  kept();
  plainStepKept(x, model, start, out);
  checkEqual('step', floats(engine, outAt, count), out);
  checkEqual('its estimates', floats(engine, startAt, count), start);
  noisy();
  const z = drawNormals(engine, images, pixels, { seed: 7n, draw: 1 });
  checkEqual(
    'step with noise',
    floats(engine, outAt, count),
    start.map((value, i) => noisyRow.weights[0] * x[i] + noisyRow.weights[2] * value + noisyRow.sigma * z[i]),
  );

  const [quietTime, keptTime, plainKept, ...plain] = fastest([
    quiet,
    kept,
    () => plainStepKept(x, model, start, out),
    () => plainStep(x, model, out, row.a, row.b, row.clip),
    () => branchingStep(x, model, out, row.a, row.b, row.clip),
  ]);
  const [noisyTime, normalsTime] = fastest([noisy, normals]);
  engine.reset(mark);
  return [
    { name: `step without noise, ${label}`, value: (quietTime * 1e6) / count, unit: 'ns/element' },
    {
      name: `step without noise against JavaScript, ${label}`,
      value: Math.min(...plain) / quietTime,
      unit: 'x',
      target: '>= 5',
    },
    {
      name: `step keeping estimates against JavaScript, ${label}`,
      value: plainKept / keptTime,
      unit: 'x',
      target: '>= 5',
    },
    { name: `step with noise, ${label}`, value: (noisyTime * 1e6) / count, unit: 'ns/element' },
    {
      name: `step with noise against normals alone, ${label}`,
      value: noisyTime / normalsTime,
      unit: 'x',
      target: '<= 1.15',
    },
  ];
}

// the row above as one would write it for speed: plain numbers, no object in the loop
function plainStep(x: Float32Array, model: Float32Array, out: Float32Array, a: number, b: number, clip: number): void {
  const [wx, wModel, wStart] = row.weights;
  for (let i = 0; i < out.length; i++) {
    const start = Math.min(Math.max(a * x[i] + b * model[i], -clip), clip);
    out[i] = wx * x[i] + wModel * model[i] + wStart * start;
  }
}

// the same with branches, which is faster where few values are clipped
function branchingStep(
  x: Float32Array,
  model: Float32Array,
  out: Float32Array,
  a: number,
  b: number,
  clip: number,
): void {
  const [wx, wModel, wStart] = row.weights;
  for (let i = 0; i < out.length; i++) {
    let start = a * x[i] + b * model[i];
    if (start > clip) start = clip;
    else if (start < -clip) start = -clip;
    out[i] = wx * x[i] + wModel * model[i] + wStart * start;
  }
}

function plainStepKept(x: Float32Array, model: Float32Array, kept: Float32Array, out: Float32Array): void {
  const { a, b, clip } = row;
  const [wx, wModel, wStart] = row.weights;
  for (let i = 0; i < out.length; i++) {
    const start = Math.min(Math.max(a * x[i] + b * model[i], -clip), clip);
    kept[i] = start;
    out[i] = wx * x[i] + wModel * model[i] + wStart * start;
  }
}

/** Milliseconds of one call of each: warmed up, then the least over alternating repetitions of about a millisecond. */
function fastest(runs: readonly (() => unknown)[]): number[] {
  const repeats = runs.map((run) => Math.max(1, Math.round(1 / timed(run, 3))));
  for (const [i, run] of runs.entries()) timed(run, 200 * repeats[i]);
  const least = runs.map(() => Infinity);
  for (let round = 0; round < 150; round++) {
    for (const [i, run] of runs.entries()) least[i] = Math.min(least[i], timed(run, repeats[i]));
  }
  return least;
}

function timed(run: () => unknown, times: number): number {
  const begun = performance.now();
  for (let i = 0; i < times; i++) run();
  return (performance.now() - begun) / times;
}

function checkNormal(name: string, values: Float32Array): void {
  const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
  const error = 6 / Math.sqrt(values.length);
  if (!(Math.abs(moment(1)) < error && Math.abs(moment(2) - 1) < 1.5 * error && Math.abs(moment(4) - 3) < 10 * error)) {
    throw new Error(`${name}: not standard normal`);
  }
}

function checkEqual(name: string, actual: Float32Array, expected: Float32Array): void {
  const at = actual.findIndex((value, i) => !(Math.abs(value - expected[i]) < 1e-6));
  if (at >= 0) throw new Error(`${name}: element ${at} expected ${expected[at]}, got ${actual[at]}`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) printFigures(kernelFigures());
