import type { Condition, Denoiser } from '../core/denoiser.ts';
import { DdpmError, show } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { assertAnswer, firstBad } from './answers.ts';

/** Buffers in an arena, each with the weight that it is added with. */
export type Terms = readonly (readonly [pointer: number, weight: number])[];

/** What the network is asked about one image: its answer at the sum of the terms, or with a probe that answer's v^T J. */
export interface Question {
  readonly timestep: number;
  readonly image: Terms;
  readonly probe?: number;
}

/** Work on one image that asks as it goes, and is given a pointer to each answer, valid until it asks again. */
export type Work<T> = Generator<readonly Question[], T, readonly number[]>;

/**
 * The product v^T J of a vector with the Jacobian of the denoiser's answer by x, for each image: x and v [N,C,H,W] and the N
 * timesteps in, a tensor of the same shape out.
 */
export type VectorJacobian = (
  x: Tensor,
  timesteps: Float32Array,
  v: Tensor,
  condition?: Condition,
) => Tensor | Promise<Tensor>;

/** Whom questions are asked, and about images of which shape. */
export interface Respondent {
  readonly denoiser: Denoiser;
  readonly vjp?: VectorJacobian;
  /** [channels, height, width], or the shape of whatever one image is. */
  readonly shape: readonly number[];
  readonly condition?: Condition;
}

/**
 * Does the work on `count` images, at most `batch` of them at a time, and asks what they all wait for in one call of the
 * network. An image that is done makes room for the next. Each has one of `places` of buffers to itself.
 *
 * @param begin Starts the work on an image in a place.
 * @returns How many answers of the network each image took.
 */
export async function answerTogether(
  arena: Arena,
  respondent: Respondent,
  options: { count: number; batch: number; signal?: AbortSignal; begin(image: number, place: number): Work<void> },
): Promise<Int32Array> {
  const { count, signal } = options;
  const network = new Network(arena, respondent);
  const evaluations = new Int32Array(count);
  const places = Array.from({ length: Math.min(options.batch, count) }, (_, i) => i);
  let active: { image: number; place: number; work: Work<void>; asked: readonly Question[] }[] = [];
  let next = 0;
  const advance = (one: (typeof active)[number], answers: readonly number[]) => {
    const { done, value } = one.work.next(answers);
    if (done) places.push(one.place);
    else one.asked = value;
    return !done;
  };
  for (;;) {
    while (places.length > 0 && next < count) {
      const [image, place] = [next++, places.pop()!];
      const one = { image, place, work: options.begin(image, place), asked: [] };
      if (advance(one, [])) active.push(one);
    }
    if (active.length === 0) return evaluations;
    signal?.throwIfAborted();
    const all = active.flatMap(({ image, asked }) => asked.map((question) => ({ ...question, index: image })));
    for (const { index } of all) evaluations[index]++;
    const answers = await network.ask(all);
    let from = 0;
    active = active.filter((one) => {
      const begin = from;
      from += one.asked.length;
      return advance(one, answers.slice(begin, from));
    });
  }
}

/** A question and the index of its image, which says its part of the condition. */
type Asked = Question & { readonly index: number };

class Network {
  readonly #arena: Arena;
  readonly #respondent: Respondent;
  readonly #pixels: number;
  /** Room for all images, probes and answers of a call, made larger when a call has more. */
  readonly #rooms = new Map<string, { pointer: number; bytes: number }>();

  constructor(arena: Arena, respondent: Respondent) {
    this.#arena = arena;
    this.#respondent = respondent;
    this.#pixels = sizeOf(respondent.shape);
  }

  /** Pointers to the answers, in the order of the questions. */
  async ask(questions: readonly Asked[]): Promise<number[]> {
    const pointers = new Array<number>(questions.length);
    for (const probed of [false, true]) {
      const indices = questions.flatMap(({ probe }, i) => ((probe !== undefined) === probed ? [i] : []));
      if (indices.length === 0) continue;
      const answers = await this.#call(
        indices.map((i) => questions[i]),
        probed,
      );
      indices.forEach((index, row) => {
        pointers[index] = answers.pointer + row * answers.stride;
      });
    }
    return pointers;
  }

  async #call(questions: readonly Asked[], probed: boolean): Promise<{ pointer: number; stride: number }> {
    const { denoiser, vjp, condition } = this.#respondent;
    const timesteps = Float32Array.from(questions, ({ timestep }) => timestep);
    const labels = condition?.classLabels;
    const about = labels ? { ...condition, classLabels: questions.map(({ index }) => labels[index]) } : condition;
    const probes =
      probed &&
      this.#write(
        'probes',
        questions.map(({ probe }) => [[probe!, 1]]),
      );
    const images = this.#write(
      'images',
      questions.map(({ image }) => image),
    );
    const x = this.#tensor(images, questions.length);
    const answer = probes
      ? await vjp!(x, timesteps, this.#tensor(probes, questions.length), about)
      : await denoiser(x, timesteps, about);
    return this.#keep(answer, timesteps, probed);
  }

  /** Sums of terms, one row after another. */
  #write(name: string, rows: readonly Terms[]): number {
    const pointer = this.#room(name, rows.length * this.#pixels * 4);
    rows.forEach((terms, row) => {
      combine(this.#arena, pointer + row * this.#pixels * 4, terms, this.#pixels);
    });
    return pointer;
  }

  #keep(answer: Tensor, timesteps: Float32Array, probed: boolean): { pointer: number; stride: number } {
    const [channels, ...plane] = this.#respondent.shape;
    const expected = [[timesteps.length, channels, ...plane]];
    // a denoiser may predict a variance too, in as many channels again
    if (!probed) expected.push([timesteps.length, 2 * channels, ...plane]);
    const where = `at timesteps ${show(Array.from(timesteps))}`;
    assertAnswer(answer, expected, where);
    // memory that grows takes views with it, such as an answer that is x itself
    const data = answer.data.buffer === this.#arena.wasm.memory.buffer ? answer.data.slice() : answer.data;
    const pointer = this.#room(probed ? 'products' : 'answers', data.length * 4);
    this.#arena.f32(pointer, data.length).set(data);
    if (!this.#arena.wasm.finite(pointer, data.length))
      throw new DdpmError('network-failed', `the network gave ${firstBad(data)} ${where}`);
    return { pointer, stride: (data.length / timesteps.length) * 4 };
  }

  #room(name: string, bytes: number): number {
    const room = this.#rooms.get(name);
    if (room && room.bytes >= bytes) return room.pointer;
    const larger = { pointer: this.#arena.alloc(2 * bytes), bytes: 2 * bytes };
    this.#rooms.set(name, larger);
    return larger.pointer;
  }

  #tensor(pointer: number, count: number): Tensor {
    return { data: this.#arena.f32(pointer, count * this.#pixels), shape: [count, ...this.#respondent.shape] };
  }
}

/** The sum of terms, written to `out`. */
export function combine(arena: Arena, out: number, terms: Terms, count: number): void {
  const { wasm } = arena;
  const mark = wasm.mark();
  wasm.combine(out, arena.allocF64(terms.flat()), terms.length, count);
  wasm.reset(mark);
}
