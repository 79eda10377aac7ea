import { shuffleDraw, wordsOf } from '../diffusion/draws.ts';
import type { Engine } from '../engine/engine.ts';
import { ImageBuffer } from './imageBuffer.ts';
import type { SourceImage } from './intake.ts';

/** How images are shuffled. */
export interface ShuffleOptions {
  readonly engine: Engine;
  readonly seed: bigint;
  /** The images of an epoch, in an order that is always the same. */
  readonly open: (epoch: number) => AsyncGenerator<SourceImage, void>;
  /** How many images of so many bytes are held. */
  readonly capacity: (bytes: number) => number;
  /** Whether images that are all held are read once only. */
  readonly keep: boolean;
}

/**
 * All images once an epoch, in an order that (seed, epoch, capacity) decide, and (seed, epoch) alone where all are held.
 *
 * A buffer is filled with the first images. Each draw takes one of them by chance, and the next image of the epoch has
 * its place; when there is none the gap is closed, and the draws that empty the buffer complete the shuffle: of Fisher
 * and Yates, where all images are held. Meanwhile the places that come free take in the next epoch, unless its images
 * are there still: reading keeps pace with drawing, and the memory is the same throughout.
 */
export class Shuffle {
  readonly #options: ShuffleOptions;
  readonly #buffer = new ImageBuffer();
  #epoch: number;
  #position = 0;
  /** The places of the images that the next draw is among. */
  #places: number[] = [];
  /** The places of the next epoch's images, in their order. */
  #ahead: number[] = [];
  #stream: AsyncGenerator<SourceImage, void>;
  #nextStream: AsyncGenerator<SourceImage, void> | undefined;
  /** Whether the buffer holds image k at place k for all images, as far as is known. */
  #whole: boolean;

  constructor(options: ShuffleOptions, epoch: number) {
    this.#options = options;
    this.#epoch = epoch;
    this.#stream = options.open(epoch);
    this.#whole = options.keep;
  }

  /** The epoch of the next image. */
  get epoch(): number {
    return this.#epoch;
  }

  /** How many images of that epoch were taken. */
  get position(): number {
    return this.#position;
  }

  /** Fills the buffer, which must be done first; gives how many images it holds. */
  async fill(): Promise<number> {
    for (let room = Infinity; this.#places.length < room; ) {
      const { value: image } = await this.#stream.next();
      if (!image) break;
      room = this.#options.capacity(image.data.length);
      this.#buffer.write(this.#places.length, image);
      this.#places.push(this.#places.length);
    }
    return this.#places.length;
  }

  /** Takes the next image, which is there to be looked at during the call of `visit` only. */
  async take(visit?: (image: SourceImage, epoch: number) => void): Promise<void> {
    const slot = this.#draw();
    const place = this.#places[slot];
    visit?.(this.#buffer.read(place), this.#epoch);
    this.#position++;

    const { value: image } = await this.#stream.next();
    if (image) this.#write(place, image);
    else {
      const last = this.#places.pop()!;
      if (slot < this.#places.length) this.#places[slot] = last;
      if (!this.#whole) await this.#readAhead(place);
    }
    if (this.#places.length === 0) this.#turn();
  }

  async close(): Promise<void> {
    await Promise.all([this.#stream.return(), this.#nextStream?.return()]);
  }

  #draw(): number {
    const { engine, seed } = this.#options;
    const [word] = wordsOf(engine, seed, { block: this.#position, draw: shuffleDraw, image: this.#epoch });
    // no place is likelier than another by more than 2^-32 of their number
    return Math.floor((word * this.#places.length) / 2 ** 32);
  }

  #write(place: number, image: SourceImage): void {
    this.#buffer.write(place, image);
    this.#whole = false;
  }

  async #readAhead(place: number): Promise<void> {
    this.#nextStream ??= this.#options.open(this.#epoch + 1);
    const { value: image } = await this.#nextStream.next();
    if (!image) return;
    this.#write(place, image);
    this.#ahead.push(place);
  }

  #turn(): void {
    if (this.#whole) for (let place = 0; place < this.#position; place++) this.#ahead.push(place);
    this.#places = this.#ahead;
    this.#ahead = [];
    this.#stream = this.#nextStream ?? this.#stream;
    this.#nextStream = undefined;
    this.#epoch++;
    this.#position = 0;
  }
}
