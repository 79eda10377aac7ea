import type { ImageBatch } from '../core/dataset.ts';
import { DdpmError, show, wrongKind, wrongValue } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import type { DatasetProblem } from '../data/index.ts';

/** Where the images of a training run come from. */
export interface FeedSource {
  /**
   * All images from the beginning, in the order in which they are stored, as they are shown in an epoch (counted from 0);
   * without one, as they are evaluated. Called for every epoch, but once only where the images are kept in memory.
   */
  open(epoch?: number): AsyncIterable<ImageBatch> | Iterable<ImageBatch>;
  /** Whether images may be kept from one epoch to the next. Default true; false where each shows them another way. */
  readonly kept?: boolean;
  /** What was left out so far. */
  readonly problems?: readonly DatasetProblem[];
  /** What the user should know; each one line. */
  readonly notes?: readonly string[];
}

/** One image of a source. */
export interface SourceImage {
  /** Its number among those that the source gives, held out or not. */
  readonly index: number;
  /** Channel by channel; a view of what the source gave. */
  readonly data: Uint8Array;
  readonly label?: number;
}

/** Whether image `index` is kept for evaluation: round(n h) of the first n are, for every n. */
export function isHeldOut(index: number, fraction: number): boolean {
  return Math.round((index + 1) * fraction) > Math.round(index * fraction);
}

/** What all images of a source have in common, as the first of them has it. */
export interface ImageKind {
  /** [channels, height, width] */
  readonly shape: readonly number[];
  readonly labelled: boolean;
}

/** Takes images in one by one; all that it ever takes must be of one kind. */
export class Intake {
  readonly #source: FeedSource;
  readonly #classes: number;
  readonly #signal: AbortSignal | undefined;
  #kind: ImageKind | undefined;

  constructor(source: FeedSource, { classes = 2 ** 31, signal }: { classes?: number; signal?: AbortSignal }) {
    if (typeof source?.open !== 'function') throw wrongKind('source', 'a source of images with open()', source);
    this.#source = source;
    this.#classes = classes;
    this.#signal = signal;
  }

  /** Known from the first image on. */
  get kind(): ImageKind | undefined {
    return this.#kind;
  }

  /** The images of an epoch, or those for evaluation, whose numbers are among the `wanted`. */
  async *images(epoch: number | undefined, wanted: (index: number) => boolean): AsyncGenerator<SourceImage, void> {
    let index = 0;
    this.#signal?.throwIfAborted();
    for await (const batch of this.#source.open(epoch)) {
      this.#signal?.throwIfAborted();
      const { shape, labelled } = this.#check(batch);
      const size = sizeOf(shape);
      for (let i = 0; i < batch.shape[0]; i++, index++) {
        const label = labelled ? this.#label(batch.labels![i], index) : undefined;
        if (wanted(index)) yield { index, data: batch.data.subarray(i * size, (i + 1) * size), label };
      }
    }
  }

  #check({ data, shape, labels }: ImageBatch): ImageKind {
    if (!(data instanceof Uint8Array)) throw wrongKind('source', 'batches of bytes', data);
    this.#kind ??= { shape: Array.from(shape).slice(1), labelled: labels !== undefined };
    const kind = this.#kind;
    const [count] = shape;
    if (kind.shape.length !== 3 || shape.length !== 4 || kind.shape.some((n, axis) => n !== shape[axis + 1]))
      throw wrongValue('source', `images [n, ${kind.shape.join(', ')}]`, shape);
    if (data.length !== sizeOf(shape)) throw wrongValue('source', `${sizeOf(shape)} bytes`, data.length);
    if ((labels?.length ?? 0) !== (kind.labelled ? count : 0))
      throw wrongValue('source', kind.labelled ? `${count} labels` : 'no labels, as before', labels?.length ?? 0);
    return kind;
  }

  #label(label: number, index: number): number {
    if (Number.isInteger(label) && label >= 0 && label < this.#classes) return label;
    const expected = `a label in 0..${this.#classes - 1}`;
    throw new DdpmError('dataset-invalid', `image ${index} of the data: expected ${expected}, got ${show(label)}`);
  }
}
