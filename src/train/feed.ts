import { assertInteger, assertKeys, assertNumber } from '../core/assert.ts';
import { DdpmError, wrongKind, wrongValue } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import type { DatasetProblem } from '../data/index.ts';
import { assertSeed } from '../diffusion/noise.ts';
import type { Engine } from '../engine/engine.ts';
import { chancesOf, copyImage } from './augment.ts';
import { type FeedSource, type ImageKind, Intake, isHeldOut } from './intake.ts';
import { Shuffle } from './shuffle.ts';

/** How the images of a source become batches. */
export interface FeedOptions {
  /** Images in a batch. */
  readonly batch: number;
  /** Decides the order of the images and all that chance makes of them. */
  readonly seed: number | bigint;
  /** Whether an image is mirrored left to right by a chance of one half each epoch. Default false. */
  readonly flip?: boolean;
  /** The fraction of the images that is left out, spread evenly: see `heldOut`. Default 0. */
  readonly holdOut?: number;
  /**
   * Bytes that the images to choose among may take; a batch of them is held in any case. Default 512 MiB. Where not all
   * fit, a source that is sorted by class wants room for several classes.
   */
  readonly memory?: number;
  /** How many classes there are: a label from this on is an error. Default: any label of at least 0 is right. */
  readonly classes?: number;
  /** How often an image has another label instead of its own: the one that means no class. Default never. */
  readonly classDropout?: { readonly probability: number; readonly label: number };
  /** Where to go on. Default: at the beginning. */
  readonly position?: FeedPosition;
  readonly signal?: AbortSignal;
}

/** How far a feed has come. */
export interface FeedPosition {
  /** Epochs that are complete: every image was given once in each. */
  readonly epoch: number;
  /** Images given of the epoch that is not. */
  readonly position: number;
}

/** Images to take a training step on. */
export interface FeedBatch {
  /** [batch, channels, height, width], 0 to 255, in memory of their own. */
  readonly images: Uint8Array;
  /** The class of each image, where the source tells them. */
  readonly labels?: Int32Array;
  /** The epoch of the first image. The last ones are of the next epoch where a batch lies across the boundary. */
  readonly epoch: number;
}

/** An endless supply of batches, all of the same size. */
export interface Feed {
  /** [channels, height, width] */
  readonly shape: readonly number[];
  /** After the last batch that was given. */
  readonly position: FeedPosition;
  /** What the source left out so far. */
  readonly problems: readonly DatasetProblem[];
  /** What the user should know; each one line. */
  readonly notes: readonly string[];
  /** The next batch. While it is used, the one after it is made ready. */
  next(): Promise<FeedBatch>;
  /** Ends all reading. */
  close(): Promise<void>;
}

/**
 * Opens a feed: the images of a source in random order, an epoch after the other, flipped and without their class by
 * chance. Where all images fit in `memory` they are read once, and every order of an epoch is equally likely; otherwise an
 * image is drawn from among as many as fit, in the order in which they are stored.
 *
 * What comes next depends on (seed, position, options) and the source alone: a feed that is opened at the position of
 * another goes on as that one does, byte for byte. To get there it reads the epoch from its beginning.
 *
 * Reads as many images as fit in `memory`.
 *
 * @throws TypeError or RangeError naming the option, such as a batch of more images than there are; DdpmError
 * `dataset-invalid` for no images or a label that is no class, which while reading on may come late, from `next`
 */
export async function openFeed(engine: Engine, source: FeedSource, options: FeedOptions): Promise<Feed> {
  const asked = checkOptions(options);
  const intake = new Intake(source, asked);
  const shuffle = new Shuffle(
    {
      ...{ engine, seed: asked.seed, keep: source.kept ?? true },
      open: (epoch) => intake.images(epoch, (index) => !isHeldOut(index, asked.holdOut)),
      capacity: (bytes) => capacityOf(bytes, asked),
    },
    asked.position.epoch,
  );
  try {
    await start(shuffle, intake, asked);
  } catch (error) {
    await shuffle.close();
    throw error;
  }
  return new ShuffledFeed(engine, { source, shuffle, kind: intake.kind!, asked });
}

const optionNames = ['batch', 'seed', 'flip', 'holdOut', 'memory', 'classes', 'classDropout', 'position', 'signal'];

type Asked = ReturnType<typeof checkOptions>;

function checkOptions(options: FeedOptions) {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'options', optionNames);
  const { batch, seed, flip = false, holdOut = 0, memory = 2 ** 29, classes, classDropout, signal } = options;
  const { position = { epoch: 0, position: 0 } } = options;
  assertInteger(batch, 'batch', 1, 65536);
  assertSeed(seed);
  if (typeof flip !== 'boolean') throw wrongKind('flip', 'true or false', flip);
  assertHoldOut(holdOut);
  assertNumber(memory, 'memory', 0);
  if (classes !== undefined) assertInteger(classes, 'classes', 1, 2 ** 31);
  if (classDropout) {
    assertNumber(classDropout.probability, 'classDropout.probability', 0, 1);
    assertInteger(classDropout.label, 'classDropout.label', 0, 2 ** 31 - 1);
  }
  for (const key of ['epoch', 'position'] as const)
    assertInteger(position[key], `position.${key}`, 0, Number.MAX_SAFE_INTEGER);
  return { batch, seed: BigInt(seed), flip, holdOut, memory, classes, classDropout, position, signal };
}

/** Throws unless `holdOut` is a fraction that leaves images to train on. */
export function assertHoldOut(holdOut: unknown): asserts holdOut is number {
  assertNumber(holdOut, 'holdOut', 0, 0.9);
}

const mostBatchBytes = 2 ** 30;

function capacityOf(bytes: number, { batch, memory }: Asked): number {
  if (batch * bytes > mostBatchBytes)
    throw wrongValue('batch', `a batch of at most ${mostBatchBytes} bytes`, batch * bytes);
  return Math.max(Math.floor(memory / bytes), batch);
}

/** Brings a shuffle to its position, and sees that the images will do. */
async function start(shuffle: Shuffle, intake: Intake, { batch, classDropout, position: at }: Asked): Promise<void> {
  const count = await shuffle.fill();
  if (!intake.kind) throw new DdpmError('dataset-invalid', 'the data: expected images to train on, got none');
  if (count < batch) throw wrongValue('batch', `at most the ${count} images that are not held out`, batch);
  if (classDropout && classDropout.probability > 0 && !intake.kind.labelled)
    throw wrongValue('classDropout', 'nothing, for the images have no labels', classDropout);
  for (let taken = 0; taken < at.position; taken++) {
    if (shuffle.epoch > at.epoch)
      throw wrongValue('position.position', `at most the ${taken} images of an epoch`, at.position);
    await shuffle.take();
  }
}

interface Parts {
  readonly source: FeedSource;
  readonly shuffle: Shuffle;
  readonly kind: ImageKind;
  readonly asked: Asked;
}

class ShuffledFeed implements Feed {
  readonly #engine: Engine;
  readonly #parts: Parts;
  #position: FeedPosition;
  #closed = false;
  /** The batch after the one that was given last; a failure is that of all after it. */
  #ready: Promise<{ batch: FeedBatch; end: FeedPosition }>;

  constructor(engine: Engine, parts: Parts) {
    this.#engine = engine;
    this.#parts = parts;
    this.#position = positionOf(parts.shuffle);
    this.#ready = this.#make();
    // it is heard of when it is asked for
    this.#ready.catch(() => undefined);
  }

  get shape(): readonly number[] {
    return this.#parts.kind.shape;
  }

  get position(): FeedPosition {
    return this.#position;
  }

  get problems(): readonly DatasetProblem[] {
    return this.#parts.source.problems ?? [];
  }

  get notes(): readonly string[] {
    return this.#parts.source.notes ?? [];
  }

  async next(): Promise<FeedBatch> {
    this.#assertOpen();
    const given = this.#ready;
    this.#ready = given.then(() => this.#make());
    this.#ready.catch(() => undefined);
    const { batch, end } = await given;
    this.#position = end;
    return batch;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#ready.catch(() => undefined);
    await this.#parts.shuffle.close();
  }

  #assertOpen(): void {
    if (this.#closed) throw new DdpmError('invalid-argument', 'the feed expected to be open, got closed');
    this.#parts.asked.signal?.throwIfAborted();
  }

  async #make(): Promise<{ batch: FeedBatch; end: FeedPosition }> {
    const { shuffle, kind, asked } = this.#parts;
    const { batch: count, seed, flip, classDropout } = asked;
    const size = sizeOf(kind.shape);
    const width = kind.shape[2];
    const first = shuffle.epoch;
    const images = new Uint8Array(count * size);
    const labels = kind.labelled ? new Int32Array(count) : undefined;
    for (let i = 0; i < count; i++) {
      this.#assertOpen();
      await shuffle.take(({ index, data, label }, epoch) => {
        const chances = chancesOf(this.#engine, seed, epoch, index);
        copyImage(images.subarray(i * size, (i + 1) * size), data, { width, flip: flip && chances.flip });
        const dropped = classDropout && chances.dropout < classDropout.probability;
        if (labels) labels[i] = dropped ? classDropout.label : label!;
      });
    }
    return { batch: { images, ...(labels && { labels }), epoch: first }, end: positionOf(shuffle) };
  }
}

function positionOf({ epoch, position }: Shuffle): FeedPosition {
  return { epoch, position };
}
