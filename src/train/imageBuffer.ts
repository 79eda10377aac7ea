import type { SourceImage } from './intake.ts';

const blockBytes = 2 ** 18;

/** Places that hold an image each, all of one size; memory is taken as places are first used. */
export class ImageBuffer {
  readonly #blocks: Uint8Array[] = [];
  readonly #labels: (number | undefined)[] = [];
  readonly #indices: number[] = [];
  #bytes = 0;

  /** Copies an image to a place: one that was written before, or the one after them. */
  write(place: number, { index, data, label }: SourceImage): void {
    this.#bytes = data.length;
    this.#labels[place] = label;
    this.#indices[place] = index;
    this.#at(place).set(data);
  }

  /** The image at a place; its data is a view. */
  read(place: number): SourceImage {
    return { index: this.#indices[place], data: this.#at(place), label: this.#labels[place] };
  }

  #at(place: number): Uint8Array {
    const inBlock = Math.max(Math.floor(blockBytes / this.#bytes), 1);
    const block = Math.floor(place / inBlock);
    this.#blocks[block] ??= new Uint8Array(inBlock * this.#bytes);
    const begin = (place % inBlock) * this.#bytes;
    return this.#blocks[block].subarray(begin, begin + this.#bytes);
  }
}
