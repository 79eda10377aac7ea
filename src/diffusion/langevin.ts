import type { Arena } from '../engine/arena.ts';

/** What a step of Langevin dynamics works on: pointers to images of `pixels` values. */
export interface Langevin {
  readonly x: number;
  readonly score: number;
  readonly noise: number;
  readonly images: number;
  readonly pixels: number;
  /** r*sqrt(2 alpha), the row's `langevin`. */
  readonly ratio: number;
}

/**
 * x = x + e*score + sqrt(2e)*noise in place, e = (ratio |noise|/|score|)^2: a step of Langevin dynamics of a given
 * signal-to-noise ratio (Song et al. 2021, algorithm 5). The norms are each image's own, where the paper's code takes
 * their mean over the batch: an image does not depend on its company.
 */
export function correct(arena: Arena, { x, score, noise, images, pixels, ratio }: Langevin): void {
  const { wasm } = arena;
  const sizes = Array.from({ length: images }, (_, i) => {
    const at = i * pixels * 4;
    const squares = (values: number) => wasm.dot(values + at, values + at, pixels, 0);
    const steepness = squares(score);
    return steepness > 0 ? (ratio ** 2 * squares(noise)) / steepness : 0;
  });
  const mark = wasm.mark();
  const along = arena.allocF64(sizes.flatMap((e) => [1, e]));
  const aside = arena.allocF64(sizes.flatMap((e) => [1, Math.sqrt(2 * e)]));
  wasm.mix(x, x, score, along, images, pixels);
  wasm.mix(x, x, noise, aside, images, pixels);
  wasm.reset(mark);
}
