import { assertInteger, assertKeys, assertNumber } from '../core/assert.ts';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { alongSteps, type Estimator, type Integral } from './divergence.ts';
import { dequantizationDraw, probeDraw } from './draws.ts';
import { createFlow, type Flow } from './flow.ts';
import { assertSeed } from './noise.ts';
import { follow, type Place, type Step } from './ode.ts';
import { answerTogether, combine, type VectorJacobian, type Work } from './questions.ts';
import type { Schedule } from './schedule.ts';

/** How a likelihood is found. */
export interface LikelihoodOptions {
  /** Probes of the divergence: 1, or for images of at most 4 values as many as make it exact. Powers of two pay. */
  readonly probes?: number;
  /**
   * What each step of the path may err by, absolutely and relative to x. Default 1e-5. For images 1e-4 does at far fewer
   * calls; more misses flat backgrounds, which are fine structure: `npx tsx bench/likelihood.ts` shows it.
   */
  readonly tolerance?: number;
  /** Decides the probes and the dequantisation: an integer from 0 to 2^64 - 1. Default 0. */
  readonly seed?: number | bigint;
  /** The first image is number `first` of the seed's images, so that a set can be done in parts. Default 0. */
  readonly first?: number;
  /** Passed on to the denoiser, one entry an image. */
  readonly condition?: Condition;
  /**
   * Whether x0 holds 8-bit values, byte/127.5 - 1, which uniform noise as wide as a grey level spreads to a density.
   * Default false: points of a continuous space.
   */
  readonly dequantize?: boolean;
  /** v^T J of the denoiser's answer, instead of symmetric differences: exact for each probe, in half the calls. */
  readonly vjp?: VectorJacobian;
  /** Half the distance of the differences, relative to the noise in x. Default 2^-7, for float32 networks. */
  readonly difference?: number;
  /** The most images at a time, each of which asks for one or 2*probes network images a call. Default 16. */
  readonly batch?: number;
  /** Cancels between network calls. */
  readonly signal?: AbortSignal;
}

/** The likelihoods of n images and what they are made of; arrays have one entry an image. */
export interface Likelihood {
  /**
   * -logDensity/(d ln 2) for d values an image; with `dequantize` plus log2(127.5) = 6.994, the grey levels in a unit, which
   * bounds the bits a value that coding the bytes takes.
   */
  readonly bitsPerDimension: Float64Array;
  /** log p(x0) in nats, in the units of x0; with `dequantize` at x0 and its noise. The sum of the two that follow. */
  readonly logDensity: Float64Array;
  /** log N(x; 0, I) of the pure noise that the flow ends in, in nats. */
  readonly logPrior: Float64Array;
  /** The integral of the flow's divergence, in nats. */
  readonly logVolume: Float64Array;
  /** [n, channels, height, width] at the last timestep: the `start` that a sampler makes the images from. */
  readonly latents: Tensor;
  /** Images that the network was given, those of differences and rejected steps included. */
  readonly evaluations: Int32Array;
  /** What the differences are off by, in bits a dimension: estimated at every fourth step. 0 with `vjp`. */
  readonly divergenceError: Float64Array;
  /** A bound of the standard deviation over probes, which they estimate themselves, in bits a dimension; 0 where exact. */
  readonly probeError: Float64Array;
}

/**
 * The density that the probability flow gives images: log p(x0) = log N(x; 0, I) + the integral of the flow's divergence
 * along the path from x0 to noise x (Song et al. 2021, section 4.3 and appendix D.2; Grathwohl et al. 2019).
 *
 * The path is found by Dormand and Prince's method with steps of its own for each image, so that an image's result does
 * not depend on the others. The divergence is estimated by v^T J v for random signs v (Hutchinson 1990), J v by a symmetric
 * difference of the network. One probe costs 6 network calls a step and 4 more, a rejected step 6. The network is told
 * real timesteps; one that rounds them makes a path with corners, which takes many steps.
 *
 * Neither `clip_sample` nor thresholding is applied: a flow that cuts off has no density. A predicted variance is ignored.
 *
 * @param x0 [n, channels, height, width] in [-1, 1]; any shape whose first axis counts.
 * @throws TypeError or RangeError naming the argument; DdpmError `network-failed`; the signal's reason.
 * @example
 * const { bitsPerDimension } = await likelihood(schedule, denoiser, images, { dequantize: true, tolerance: 1e-4 });
 */
export async function likelihood(
  schedule: Schedule,
  denoiser: Denoiser,
  x0: Tensor,
  options: LikelihoodOptions = {},
): Promise<Likelihood> {
  check(denoiser, x0, options);
  const { vjp, condition, signal, batch = 16, dequantize = false } = options;
  const [count, ...shape] = x0.shape;
  const pixels = sizeOf(shape);
  const arena = await schedule.engine.lease();
  try {
    const run = createRun(arena, schedule, x0, options);
    const results: Part[] = [];
    const begin = (image: number, place: number) => densityOf(run, image, place, (part) => (results[image] = part));
    const respondent = { denoiser, vjp, condition, shape };
    const evaluations = await answerTogether(arena, respondent, { count, batch, signal, begin });

    const all = (value: (part: Part) => number) => Float64Array.from(results, value);
    const bits = (nats: number) => nats / (pixels * Math.LN2);
    const offset = dequantize ? Math.log2(greyLevels) : 0;
    return {
      bitsPerDimension: all(({ prior, integral }) => offset - bits(prior + integral.value)),
      logDensity: all(({ prior, integral }) => prior + integral.value),
      logPrior: all(({ prior }) => prior),
      logVolume: all(({ integral }) => integral.value),
      latents: { data: arena.f32(run.latents, count * pixels).slice(), shape: [...x0.shape] },
      evaluations,
      divergenceError: all(({ integral }) => bits(integral.differenceError)),
      probeError: all(({ integral }) => bits(integral.probeError)),
    };
  } finally {
    schedule.engine.release(arena);
  }
}

/** Grey levels in a unit of x. */
const greyLevels = 127.5;

interface Part {
  readonly prior: number;
  readonly integral: Integral;
}

/** What the work on all images has in common. */
interface Run {
  readonly arena: Arena;
  readonly flow: Flow;
  readonly images: Tensor;
  readonly pixels: number;
  readonly options: LikelihoodOptions;
  readonly tolerance: number;
  /** Probes used, of as many as give the divergence exactly. */
  readonly probes: number;
  readonly population: number;
  readonly places: readonly (Place & Pick<Estimator, 'probes' | 'state' | 'product'>)[];
  /** Where the latents of all images go. */
  readonly latents: number;
}

function createRun(arena: Arena, schedule: Schedule, images: Tensor, options: LikelihoodOptions): Run {
  const { tolerance = 1e-5, batch = 16 } = options;
  const [count, ...shape] = images.shape;
  const pixels = sizeOf(shape);
  const population = populationOf(pixels);
  const { probes = population <= 4 ? population : 1 } = options;
  // words of random numbers are made 128 bytes at a time
  const buffers = (n: number) => Array.from({ length: n }, () => arena.alloc(Math.ceil(pixels / 32) * 128));
  const places = Array.from({ length: Math.min(batch, count) }, () => {
    const [x, next, spare, state, product] = buffers(5);
    return { x, next, spare, state, product, stages: buffers(7), probes: buffers(probes) };
  });
  const latents = arena.alloc(count * pixels * 4);
  return { arena, flow: createFlow(schedule), images, pixels, options, tolerance, probes, population, places, latents };
}

/** The work on one image. */
function* densityOf(run: Run, image: number, placed: number, finish: (part: Part) => void): Work<void> {
  const { arena, flow, pixels, options, tolerance, population, latents } = run;
  const place = run.places[placed];
  placeImage(run, image, place);
  const integral: Integral = { value: 0, probeError: 0, differenceError: 0 };
  const { vjp, difference = 2 ** -7 } = options;
  const estimator = { arena, flow, pixels, population, tolerance, difference, exact: vjp !== undefined, ...place };
  const integrate = alongSteps(estimator, integral);
  const visit = function* (step: Step): Work<boolean> {
    // the last that is written is of the step that the last timestep is in
    const part = Math.min((flow.last - step.angle) / step.length, 1);
    if (part > 0) combine(arena, latents + image * pixels * 4, step.at(part), pixels);
    return yield* integrate(step);
  };
  const end = yield* follow({ arena, flow, pixels, place, tolerance, visit });
  finish({ integral, prior: -(arena.wasm.dot(end, end, pixels, 0) + pixels * Math.log(2 * Math.PI)) / 2 });
}

/** Puts an image in its place, dequantised where that is asked for, and its probes beside it. */
function placeImage({ arena, images, pixels, options }: Run, image: number, place: Run['places'][number]): void {
  const { wasm } = arena;
  const { seed = 0, first = 0, dequantize } = options;
  const [key, index] = [BigInt(seed), BigInt(first + image)];
  arena.f32(place.x, pixels).set(images.data.subarray(image * pixels, (image + 1) * pixels));
  if (dequantize) {
    wasm.uniforms(place.spare, pixels, key, dequantizationDraw, index);
    combine(
      arena,
      place.x,
      [
        [place.x, 1],
        [place.spare, 1 / greyLevels],
      ],
      pixels,
    );
  }
  place.probes.forEach((probe, row) => {
    wasm.normals(probe, 1, pixels, key, probeDraw, index);
    wasm.signs(probe, pixels, row);
  });
}

/** How many orthogonal probes of +-1 there are: Hadamard matrices have powers of two for sizes. */
function populationOf(pixels: number): number {
  return 2 ** Math.ceil(Math.log2(pixels));
}

function check(denoiser: Denoiser, x0: Tensor, options: LikelihoodOptions): void {
  if (typeof denoiser !== 'function') throw wrongKind('denoiser', 'a function', denoiser);
  assertTensor(x0, 'x0');
  if (x0.shape.length < 2) throw wrongValue('x0.shape', '[n, ...] with the values of an image after n', x0.shape);
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'likelihood', optionNames);
  const { probes = 1, tolerance = 1e-5, seed = 0, first = 0, batch = 16, difference = 2 ** -7, vjp } = options;
  assertInteger(probes, 'probes', 1, populationOf(sizeOf(x0.shape.slice(1))));
  assertNumber(tolerance, 'tolerance', 1e-10, 1);
  assertSeed(seed);
  assertInteger(first, 'first', 0, Number.MAX_SAFE_INTEGER);
  assertInteger(batch, 'batch', 1, 4096);
  assertNumber(difference, 'difference', 2 ** -20, 1);
  if (vjp !== undefined && typeof vjp !== 'function') throw wrongKind('vjp', 'a function', vjp);
  const labels = options.condition?.classLabels;
  if (labels && labels.length !== x0.shape[0])
    throw wrongValue('condition.classLabels', `${x0.shape[0]} labels`, labels.length);
}

const optionNames: readonly (keyof LikelihoodOptions)[] = [
  'probes',
  'tolerance',
  'seed',
  'first',
  'condition',
  'dequantize',
  'vjp',
  'difference',
  'batch',
  'signal',
];
