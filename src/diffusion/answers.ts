import type { Condition, Denoiser } from '../core/denoiser.ts';
import { DdpmError, show } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';

/** What the network is asked: `x` may be a view of the arena; `where` ends the sentence of an error. */
export interface Question {
  readonly x: Tensor;
  readonly timesteps: Float32Array;
  readonly condition?: Condition;
  readonly where: string;
}

/** A network's answers in the engine's memory, where it may have written them itself. */
export class Answers {
  readonly #arena: Arena;
  readonly #denoiser: Denoiser;
  readonly #learnedVariance: boolean;
  /** [channels, height, width] of an answer, known from the first on; the memory is that of its batch. */
  #shape: readonly number[] | undefined;
  #pointer = 0;

  constructor(arena: Arena, denoiser: Denoiser, options: { readonly learnedVariance: boolean }) {
    this.#arena = arena;
    this.#denoiser = denoiser;
    this.#learnedVariance = options.learnedVariance;
  }

  /** Where the last answer lies. */
  get pointer(): number {
    return this.#pointer;
  }

  /** How many numbers an image's answer has; undefined before the first. */
  get stride(): number | undefined {
    return this.#shape && sizeOf(this.#shape);
  }

  /** Asks, and keeps the answer. No batch may be larger than the first. */
  async ask({ x, timesteps, condition, where }: Question): Promise<void> {
    const [count] = x.shape;
    const out = this.#shape && {
      data: this.#arena.f32(this.#pointer, count * sizeOf(this.#shape)),
      shape: [count, ...this.#shape],
    };
    const answer = await this.#denoiser(x, timesteps, condition, { out });
    this.#check(answer, x.shape, where);

    let { data } = answer;
    const size = data.length;
    if (!this.#shape) {
      // memory that grows takes views with it, such as an answer that is x itself
      data = data.slice();
      this.#shape = answer.shape.slice(1);
      this.#pointer = this.#arena.alloc(size * 4);
    }
    if (data.buffer !== this.#arena.wasm.memory.buffer || data.byteOffset !== this.#pointer)
      this.#arena.f32(this.#pointer, size).set(data);
    if (!this.#arena.wasm.finite(this.#pointer, size))
      throw new DdpmError('network-failed', `the network gave ${firstBad(data)} ${where}`);
  }

  #check(answer: Tensor, [count, channels, ...plane]: readonly number[], where: string): void {
    const withVariance = [count, 2 * channels, ...plane];
    const expected = this.#learnedVariance ? [withVariance] : [[count, channels, ...plane], withVariance];
    assertAnswer(answer, expected, where);
    if (this.#shape && answer.data.length !== count * sizeOf(this.#shape))
      throw new DdpmError('network-failed', `the network's answer ${where} changed its shape to ${show(answer.shape)}`);
  }
}

/** Throws unless an answer is float32 of one of the shapes. */
export function assertAnswer(answer: Tensor, expected: readonly (readonly number[])[], where: string): void {
  const { data, shape } = answer ?? {};
  const fits = expected.some(
    (e) => Array.isArray(shape) && e.length === shape.length && e.every((n, i) => n === shape[i]),
  );
  if (!fits || !(data instanceof Float32Array) || data.length !== sizeOf(shape))
    throw new DdpmError(
      'network-failed',
      `the network's answer ${where} expected float32 ${expected.map(show).join(' or ')}, got ${show(shape)}`,
    );
}

/** The first value that is no finite number, as text. */
export function firstBad(values: Float32Array): string {
  return String(values.find((value) => !Number.isFinite(value)));
}
