import type { Engine } from '../engine/engine.ts';

/**
 * What random numbers are for: the second word of Philox's counter (block, draw, image low, image high). All that one
 * seed decides has draws of its own, so that nothing that is drawn repeats.
 *
 * From 0 up lies noise: 0 is that which a run starts from, r + 1 that of row r of its plan; losses take t + kT for
 * timestep t of T, the k-th time. The draws here are out of their reach.
 */

/** The noise of training: that of image k of all that were ever shown. */
export const trainingNoiseDraw = 2 ** 31 - 6;
/** Where in its stratum an image's timestep in training lies: block 0 of that image. */
export const trainingTimestepDraw = 2 ** 31 - 5;
/** The low-rank matrices that a network begins with: "image" k is the k-th. */
export const loraDraw = 2 ** 31 - 4;
/** The order of the images of an epoch: block n of "image" e is the n-th image of epoch e. */
export const shuffleDraw = 2 ** 31 - 3;
/** What an image of the training data is made to be: block e of image k decides on image k in epoch e. */
export const augmentDraw = 2 ** 31 - 2;
/** The parameters that a network begins with: "image" k is the k-th parameter. */
export const initialDraw = 2 ** 31 - 1;
/** The directions in which a divergence is probed. */
export const probeDraw = 2 ** 32 - 2;
/** What is added to the bytes of an image. */
export const dequantizationDraw = 2 ** 32 - 1;
/** How far strata are shifted: block s of image 0 for stratum s. No estimate dequantises too. */
export const strataDraw = 2 ** 32 - 1;

/** The four words, each even in 0..2^32-1, of one block of a draw. Block and draw are taken modulo 2^32. */
export function wordsOf(
  engine: Engine,
  seed: bigint,
  { block, draw, image }: { readonly block: number; readonly draw: number; readonly image: number },
): Uint32Array {
  return engine.scratch((arena) => {
    const words = arena.alloc(16);
    arena.wasm.philox(words, seed, block, draw, image, Math.floor(image / 2 ** 32));
    return new Uint32Array(arena.wasm.memory.buffer, words, 4).slice();
  });
}
