import { assertInteger, assertKeys } from '../core/assert.ts';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { Answers } from './answers.ts';
import { assertRng, assertSeed, createDraws, type Draws, type Rng } from './noise.ts';

/** What an evaluation of a network on images needs besides them. */
export interface EvaluationOptions {
  /** Decides every random number: an integer from 0 to 2^64 - 1. */
  readonly seed: number | bigint;
  /** The first image is number `first` of the seed's images, so that a data set can be done in parts. Default 0. */
  readonly first?: number;
  /**
   * Where noise comes from: `philox` (default), where image k's noise at timestep t depends on (seed, k, t) alone, or
   * `torch`, torch's CPU stream, drawn for the whole batch, one timestep after another.
   */
  readonly rng?: Rng;
  /** How many noisy images the network is given at a time, at most. Default: as many as there are images. */
  readonly batch?: number;
  /** Passed on to the denoiser, one entry an image. */
  readonly condition?: Condition;
  /** Cancels between network calls. */
  readonly signal?: AbortSignal;
}

/** One question to the network: an image of the batch, noised to a level. */
export interface Trial {
  readonly timestep: number;
  /** abar of the level. */
  readonly abar: number;
  /** Which of the image's draws is the noise. */
  readonly draw: number;
}

/** An answered one: pointers to the image, its noise, x_t and the network's answer. */
export interface Answered {
  readonly x0: number;
  readonly noise: number;
  readonly xt: number;
  readonly model: number;
}

const evaluationKeys = ['seed', 'first', 'rng', 'batch', 'condition', 'signal'];

/** Checks what an evaluation is given, once; `keys` are options that it takes besides the common ones. */
export function checkEvaluation(
  denoiser: Denoiser,
  x0: Tensor,
  options: EvaluationOptions,
  [evaluation, ...keys]: readonly string[],
): void {
  if (typeof denoiser !== 'function') throw wrongKind('denoiser', 'a function', denoiser);
  assertTensor(x0, 'x0');
  if (x0.shape.length < 2) throw wrongValue('x0.shape', 'an axis of images, then one of channels', x0.shape);
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, evaluation, [...evaluationKeys, ...keys]);
  const { seed, rng = 'philox', first = 0, batch = 1, condition } = options;
  assertSeed(seed);
  assertRng(rng);
  assertInteger(first, 'first', 0, Number.MAX_SAFE_INTEGER);
  assertInteger(batch, 'batch', 1, 1_000_000);
  const labels = condition?.classLabels;
  if (labels && labels.length !== x0.shape[0]) throw wrongValue('classLabels', `${x0.shape[0]} labels`, labels.length);
}

/** Noises images, asks the network about them in batches, and hands over what it says, image by image. */
export class Trials {
  readonly #arena: Arena;
  readonly #options: EvaluationOptions;
  readonly #shape: readonly number[];
  readonly #draws: Draws;
  readonly #answers: Answers;
  readonly #batch: number;
  readonly #x0: number;
  readonly #weights: number;
  /** x_t and the noise in it of each question of a call. */
  #xt = 0;
  #noise = 0;
  /** torch's noise for all images at the current timestep. */
  #stream = 0;
  readonly count: number;
  readonly pixels: number;

  constructor(
    arena: Arena,
    denoiser: Denoiser,
    options: EvaluationOptions & { readonly x0: Tensor; readonly learnedVariance: boolean },
  ) {
    const { x0, seed, rng = 'philox', first = 0, batch = x0.shape[0] } = options;
    this.#arena = arena;
    this.#options = options;
    this.#shape = x0.shape.slice(1);
    this.count = x0.shape[0];
    this.pixels = sizeOf(this.#shape);
    this.#batch = batch;
    this.#draws = createDraws(arena, { rng, seed, first, images: this.count, pixels: this.pixels });
    this.#answers = new Answers(arena, denoiser, options);
    this.#x0 = arena.allocF32(x0.data);
    this.#weights = arena.alloc(16);
  }

  /** The sum of an image's squares. */
  squares(image: number): number {
    const x0 = this.#x0 + image * this.pixels * 4;
    return this.#arena.wasm.dot(x0, x0, this.pixels, 0);
  }

  /**
   * Asks about every image `columns` times: all images once, then all again. Calls share as many questions as the batch
   * holds. Pointers are valid until `use` returns.
   */
  async run(
    columns: number,
    trialOf: (image: number, column: number) => Trial,
    use: (image: number, column: number, answered: Answered) => void,
  ): Promise<void> {
    const total = this.count * columns;
    const bytes = Math.min(this.#batch, total) * this.pixels * 4;
    [this.#xt, this.#noise] = [this.#arena.alloc(bytes), this.#arena.alloc(bytes)];
    for (let begin = 0; begin < total; begin += this.#batch) {
      this.#options.signal?.throwIfAborted();
      const size = Math.min(this.#batch, total - begin);
      const places = Array.from({ length: size }, (_, i) => {
        const [image, column] = [(begin + i) % this.count, Math.floor((begin + i) / this.count)];
        return { image, column, trial: trialOf(image, column) };
      });
      for (const [i, { image, trial }] of places.entries()) this.#prepare(i, image, trial);
      await this.#ask(places);
      for (const [i, { image, column }] of places.entries()) use(image, column, this.#answered(i, image));
    }
  }

  /** Draws the noise of question i of a call, and noises the image (eq. 4). */
  #prepare(i: number, image: number, { abar, draw }: Trial): void {
    const { wasm } = this.#arena;
    const bytes = this.pixels * 4;
    const { x0, noise, xt } = this.#answered(i, image);
    const { seed, first } = this.#draws;
    if (this.#options.rng === 'torch') {
      if (image === 0) this.#stream = this.#draws.noise(draw);
      this.#arena.copy(noise, this.#stream + image * bytes, bytes);
    } else wasm.normals(noise, 1, this.pixels, seed, draw, first + BigInt(image));
    this.#arena.f64(this.#weights, 2).set([Math.sqrt(abar), Math.sqrt(1 - abar)]);
    wasm.mix(xt, x0, noise, this.#weights, 1, this.pixels);
  }

  async #ask(places: readonly { image: number; trial: Trial }[]): Promise<void> {
    const { condition } = this.#options;
    const labels = condition?.classLabels;
    const timesteps = Float32Array.from(places, ({ trial }) => trial.timestep);
    const [least, most] = [Math.min, Math.max].map((choose) => timesteps.reduce((a, b) => choose(a, b)));
    await this.#answers.ask({
      x: { data: this.#arena.f32(this.#xt, places.length * this.pixels), shape: [places.length, ...this.#shape] },
      timesteps,
      condition: labels ? { ...condition, classLabels: places.map(({ image }) => labels[image]) } : condition,
      where: least === most ? `at timestep ${least}` : `at timesteps ${least} to ${most}`,
    });
  }

  #answered(i: number, image: number): Answered {
    const bytes = this.pixels * 4;
    return {
      x0: this.#x0 + image * bytes,
      noise: this.#noise + i * bytes,
      xt: this.#xt + i * bytes,
      model: this.#answers.pointer + i * (this.#answers.stride ?? 0) * 4,
    };
  }
}
