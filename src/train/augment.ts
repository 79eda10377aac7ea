import { augmentDraw, wordsOf } from '../diffusion/draws.ts';
import type { Engine } from '../engine/engine.ts';
import type { CropWindow } from '../image/cover.ts';

/** What chance makes of an image in an epoch. */
export interface Chances {
  readonly flip: boolean;
  /** Even in [0, 1): the class is dropped where this is below the probability. */
  readonly dropout: number;
  readonly window: CropWindow;
}

/** The chances of an image in an epoch, which depend on (seed, epoch, index) alone. */
export function chancesOf(engine: Engine, seed: bigint, epoch: number, index: number): Chances {
  const words = wordsOf(engine, seed, { block: epoch, draw: augmentDraw, image: index });
  const [flip, dropout, x, y] = words;
  const part = (word: number) => word / 2 ** 32;
  return { flip: part(flip) < 0.5, dropout: part(dropout), window: [part(x), part(y)] };
}

/** Copies an image channel by channel, mirrored left to right if that is asked for. */
export function copyImage(
  to: Uint8Array,
  from: Uint8Array,
  { width, flip }: { readonly width: number; readonly flip: boolean },
): void {
  to.set(from);
  if (flip) for (let row = 0; row < to.length; row += width) to.subarray(row, row + width).reverse();
}
