import type { ImageBatch } from '../core/dataset.ts';
import { DdpmError } from '../core/errors.ts';
import { coverPixels } from '../image/cover.ts';
import type { Size } from '../image/fit.ts';
import type { Pixels } from '../image/pixels.ts';
import { writePlanes } from '../image/planes.ts';
import { type Asked, mostClasses } from './options.ts';
import type { ImageSource } from './source.ts';

/** An image that was left out, and why. */
export interface DatasetProblem {
  /** The path within the dataset, or `image 17` by index as stored, counted from 0. */
  readonly name: string;
  readonly message: string;
}

const mostProblems = 10_000;

/** Reads a source anew for each iteration, and keeps account of what is bad. */
export class Reader {
  readonly problems: DatasetProblem[] = [];
  readonly #reported = new Set<number>();
  readonly #name: string;
  readonly #source: ImageSource;
  readonly #asked: Asked;
  readonly #classes: number;

  constructor(name: string, source: ImageSource, asked: Asked) {
    this.#name = name;
    this.#source = source;
    this.#asked = asked;
    this.#classes = asked.classes ?? source.labels?.length ?? source.classes ?? mostClasses;
  }

  /** How many images are to be read, bad ones included, where that is known. */
  get count(): number | undefined {
    const { first, count } = this.#asked;
    return this.#source.count === undefined ? undefined : Math.min(Math.max(this.#source.count - first, 0), count);
  }

  /** The asked shape, else the first usable image's. Throws if there is no usable image. */
  async firstSize(): Promise<Size> {
    for await (const { image } of this.#usable()) {
      const { width, height, channels } = image;
      return this.#asked.size ?? { width, height, channels: channels === 1 ? 1 : 3 };
    }
    const [problem] = this.problems;
    const { first } = this.#asked;
    const reason = problem
      ? `all ${this.problems.length} are bad, the first: ${problem.name}: ${problem.message}`
      : `there ${this.#source.count ? `are ${this.#source.count}` : 'is none'}${first > 0 ? `, read from ${first} on` : ''}`;
    throw new DdpmError('dataset-invalid', `${this.#name}: no usable image: ${reason}`);
  }

  /** What is usable in batches of their own memory, the last as long as it comes. */
  async *batches(size: Size, windowOf = this.#asked.crop): AsyncGenerator<ImageBatch> {
    const { batch, background } = this.#asked;
    const bytes = size.channels * size.height * size.width;
    let left = this.count ?? Infinity;
    let waiting: { data: Uint8Array; labels: number[]; n: number } | undefined;
    for await (const { image, label, index } of this.#usable()) {
      waiting ??= { data: new Uint8Array(Math.min(batch, left) * bytes), labels: [], n: 0 };
      writePlanes(coverPixels(image, size, background, windowOf(index)), waiting.data, waiting.n++ * bytes);
      if (label !== undefined) waiting.labels.push(label);
      if (waiting.n < batch) continue;
      yield toBatch(waiting, size);
      left -= batch;
      waiting = undefined;
    }
    if (waiting) yield toBatch(waiting, size);
  }

  async *#usable(): AsyncGenerator<{ image: Pixels; label?: number; index: number }> {
    const { first, count, signal } = this.#asked;
    let index = 0;
    signal?.throwIfAborted();
    for await (const stored of this.#source.read(first, signal)) {
      signal?.throwIfAborted();
      const problem = 'problem' in stored ? stored.problem : this.#labelProblem(stored.label);
      if (problem !== undefined) this.#report(index, stored.name, problem);
      else if ('image' in stored) yield { image: stored.image, label: stored.label, index: first + index };
      if (++index === count) return;
    }
  }

  #labelProblem(label: number | undefined): string | undefined {
    const good = label === undefined || (Number.isInteger(label) && label >= 0 && label < this.#classes);
    return good ? undefined : `expected a label in 0..${this.#classes - 1}, got ${label}`;
  }

  #report(index: number, name: string, message: string): void {
    if (this.#asked.strict) throw new DdpmError('dataset-invalid', `${this.#name}: ${name}: ${message}`);
    if (this.#reported.has(index)) return;
    this.#reported.add(index);
    this.problems.push({ name, message });
    if (this.problems.length < mostProblems) return;
    const [problem] = this.problems;
    throw new DdpmError(
      'dataset-invalid',
      `${this.#name}: given up after ${mostProblems} bad images, the first: ${problem.name}: ${problem.message}`,
    );
  }
}

function toBatch({ data, labels, n }: { data: Uint8Array; labels: number[]; n: number }, size: Size): ImageBatch {
  const { channels, height, width } = size;
  const batch = { data: data.subarray(0, n * channels * height * width), shape: [n, channels, height, width] };
  return labels.length > 0 ? { ...batch, labels: Int32Array.from(labels) } : batch;
}
