import { assertInteger } from '../core/assert.ts';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { DdpmError, show, wrongKind } from '../core/errors.ts';
import { assertShape, assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { assertRng, assertSeed, createDraws, type Draws, type Rng } from './noise.ts';
import { type Plan, rowData, rowFields, slotCount } from './plan.ts';

/** What a run needs besides its plan and its network. */
export interface RunOptions {
  /** [count, channels, height, width] of the images. */
  readonly shape: readonly number[];
  /** Decides every random number of the run: an integer from 0 to 2^64 - 1. */
  readonly seed: number | bigint;
  /** Which random numbers: `philox` (default), a stream of its own for each image, or `torch`, torch's CPU stream. */
  readonly rng?: Rng;
  /** Where to start instead of at fresh noise: unit-variance noise, or the image for `ddim-inverse`. */
  readonly start?: Tensor;
  /** Passed on to the denoiser, one entry an image. */
  readonly condition?: Condition;
  /** The run's first image is number `first` of the seed's images, so that a run can be done in parts. Default 0. */
  readonly first?: number;
  /** Cancels the run between network calls. */
  readonly signal?: AbortSignal;
}

/** The state after one network call and the rows that use it. Both tensors are views of the engine's memory, valid until the next step. */
export interface Step {
  /** Which network call, from 0 to the plan's `calls` - 1. */
  readonly index: number;
  /** What the network was told. */
  readonly timestep: number;
  /** The images after the step. */
  readonly x: Tensor;
  /** What the network took the finished images to be. */
  readonly start: Tensor;
}

/**
 * Runs a plan to its end and returns the images, float32 in about [-1, 1], not clipped.
 *
 * @throws DdpmError `network-failed` when the network gives NaN, infinity or the wrong shape, naming the step.
 * @throws The signal's reason when it is aborted.
 * @example
 * const plan = createPlan(schedule, { sampler: 'ddim', steps: 20 });
 * const images = await runPlan(plan, denoiser, { shape: [4, 3, 32, 32], seed: 7 });
 */
export async function runPlan(plan: Plan, denoiser: Denoiser, options: RunOptions): Promise<Tensor> {
  for await (const { index, x } of walk(plan, denoiser, options, false))
    if (index === plan.calls - 1) return { data: x.data.slice(), shape: x.shape };
  throw new Error('a plan calls the network at least once');
}

/** Runs a plan step by step; leaving the loop early frees what the run holds. Takes what `runPlan` takes. */
export function planSteps(plan: Plan, denoiser: Denoiser, options: RunOptions): AsyncGenerator<Step, void, void> {
  return walk(plan, denoiser, options, true);
}

/** Runs `work` with the memory of a run; the one loop over the rows of any sampler. */
async function* walk(plan: Plan, denoiser: Denoiser, options: RunOptions, keepStart: boolean) {
  checkRun(plan, denoiser, options);
  const arena = await plan.engine.lease();
  try {
    const run = new Run(arena, plan, options, keepStart);
    let index = -1;
    let timestep = 0;
    for (const [i, row] of plan.rows.entries()) {
      if (row.calls > 0) {
        options.signal?.throwIfAborted();
        await run.predict(denoiser, i);
        timestep = row.timestep;
        index++;
      }
      run.step(i);
      // rows that ask no network belong to the step before them
      const done = plan.rows[i + 1]?.calls !== 0;
      if (done && index >= 0) yield { index, timestep, x: run.x, start: run.start } satisfies Step;
    }
  } finally {
    plan.engine.release(arena);
  }
}

/** The buffers of a run in an arena of its own: the state x, the network's answer, the noise. */
class Run {
  readonly #arena: Arena;
  readonly #plan: Plan;
  readonly #options: RunOptions;
  readonly #shape: readonly number[];
  readonly #count: number;
  readonly #pixels: number;
  readonly #draws: Draws;
  readonly #rows: number;
  readonly #buffers: number;
  readonly #x: number;
  readonly #start: number;
  /** What rows keep for later ones; 0 where a plan has no use for a slot. */
  readonly #slots: readonly number[];
  /** Allocated when the first answer tells how many channels there are. */
  #model = 0;
  #modelShape: readonly number[] | undefined;

  constructor(arena: Arena, plan: Plan, options: RunOptions, keepStart: boolean) {
    const { shape, start, seed, rng = 'philox', first = 0 } = options;
    this.#arena = arena;
    this.#plan = plan;
    this.#options = options;
    this.#shape = shape;
    this.#count = shape[0];
    this.#pixels = sizeOf(shape.slice(1));
    const size = sizeOf(shape);

    this.#rows = arena.allocF64(rowData(plan.rows));
    this.#buffers = arena.alloc((slotCount + 5) * 4); // x, model, the slots, noise, startOut, out
    this.#x = arena.alloc(size * 4);
    this.#start = keepStart ? arena.alloc(size * 4) : 0;
    this.#slots = Array.from({ length: slotCount }, (_, i) => {
      const used = plan.rows.some((row) => row.store === i + 1);
      return used ? arena.alloc(size * 4) : 0;
    });
    this.#draws = createDraws(arena, { rng, seed, first, images: this.#count, pixels: this.#pixels });

    if (start) arena.f32(this.#x, size).set(start.data);
    else this.#draws.fill(this.#x);
    if (plan.initialScale !== 1) this.#scale(plan.initialScale);
  }

  get x(): Tensor {
    return { data: this.#arena.f32(this.#x, this.#count * this.#pixels), shape: this.#shape };
  }

  get start(): Tensor {
    return { data: this.#arena.f32(this.#start, this.#count * this.#pixels), shape: this.#shape };
  }

  /** Asks the network about x and keeps its answer in the engine's memory, where it may have written it itself. */
  async predict(denoiser: Denoiser, index: number): Promise<void> {
    const row = this.#plan.rows[index];
    const timesteps = new Float32Array(this.#count).fill(row.timestep);
    const out = this.#modelShape && this.#tensor(this.#model, this.#modelShape);
    const answer = await denoiser(this.x, timesteps, this.#options.condition, { out });
    const where = `at step ${index + 1} of ${this.#plan.rows.length} (timestep ${row.timestep})`;
    this.#checkAnswer(answer, where);

    const size = answer.data.length;
    if (!this.#modelShape) {
      this.#modelShape = answer.shape;
      this.#model = this.#arena.alloc(size * 4);
    }
    if (answer.data.buffer !== this.#arena.wasm.memory.buffer || answer.data.byteOffset !== this.#model)
      this.#arena.f32(this.#model, size).set(answer.data);
    if (!this.#arena.wasm.finite(this.#model, size))
      throw new DdpmError('network-failed', `the network gave ${firstBad(answer.data)} ${where}`);
  }

  /** Applies a row to all pixels. */
  step(index: number): void {
    const { wasm } = this.#arena;
    const row = this.#plan.rows[index];
    const draw = index + 1; // draw 0 is x_T
    const noise = row.sigma !== 0 ? this.#draws.noise(draw) : 0;
    const { seed, first } = this.#draws;
    const startOut = row.calls > 0 ? this.#start : 0;
    const pointers = [this.#x, this.#model, ...this.#slots, noise, startOut, this.#x];
    new Uint32Array(wasm.memory.buffer, this.#buffers, pointers.length).set(pointers);
    const modelStride = this.#modelShape ? sizeOf(this.#modelShape.slice(1)) : this.#pixels;
    const at = this.#rows + index * rowFields * 8;
    const done = wasm.step(at, this.#buffers, this.#count, this.#pixels, modelStride, seed, draw, first);
    if (!done) throw new DdpmError('out-of-memory', "one image more than the engine's memory can hold");
  }

  #tensor(pointer: number, shape: readonly number[]): Tensor {
    return { data: this.#arena.f32(pointer, sizeOf(shape)), shape };
  }

  #scale(by: number): void {
    const coefficients = this.#arena.allocF64(new Array(this.#count).fill([by, 0]).flat());
    this.#arena.wasm.mix(this.#x, this.#x, this.#x, coefficients, this.#count, this.#pixels);
  }

  #checkAnswer(answer: Tensor, where: string): void {
    const [count, channels, ...plane] = this.#shape;
    const plain = [count, channels, ...plane];
    const withVariance = [count, 2 * channels, ...plane];
    const expected = this.#plan.learnedVariance ? [withVariance] : [plain, withVariance];
    const shape = answer?.shape;
    const fits = expected.some(
      (e) => Array.isArray(shape) && e.length === shape.length && e.every((n, i) => n === shape[i]),
    );
    if (!fits || !(answer.data instanceof Float32Array) || answer.data.length !== sizeOf(shape))
      throw new DdpmError(
        'network-failed',
        `the network's answer ${where} expected float32 ${expected.map(show).join(' or ')}, got ${show(shape)}`,
      );
    if (this.#modelShape && answer.data.length !== sizeOf(this.#modelShape))
      throw new DdpmError('network-failed', `the network's answer ${where} changed its shape to ${show(shape)}`);
  }
}

function checkRun(plan: Plan, denoiser: Denoiser, options: RunOptions): void {
  if (typeof denoiser !== 'function') throw wrongKind('denoiser', 'a function', denoiser);
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertShape(options.shape, 'shape');
  assertSeed(options.seed);
  assertRng(options.rng ?? 'philox');
  assertInteger(options.first ?? 0, 'first', 0, Number.MAX_SAFE_INTEGER);
  if (options.start) assertTensor(options.start, 'start', options.shape);
  if (plan.sampler === 'ddim-inverse' && !options.start)
    throw wrongKind('start', 'the images to invert', options.start);
}

function firstBad(values: Float32Array): string {
  return String(values.find((value) => !Number.isFinite(value)));
}
