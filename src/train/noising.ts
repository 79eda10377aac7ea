import { sizeOf } from '../core/tensor.ts';
import { trainingNoiseDraw, trainingTimestepDraw } from '../diffusion/draws.ts';
import type { Engine } from '../engine/engine.ts';

/** How images are noised in training. */
export interface Noising {
  /** The seed of the run. */
  readonly seed: bigint;
  /** Channels, height and width. */
  readonly shape: readonly [number, number, number];
  /** Images in an optimizer step: their timesteps fall into as many equal strata of 0..T-1. */
  readonly stepImages: number;
  readonly trainTimesteps: number;
  /** What the loss graph is told of a timestep: a row of the table a timestep. */
  readonly coefficients: Float32Array;
  readonly columns: number;
}

/** Some of the images of a step. */
export interface Part {
  /** Bytes, every image's first channel, then its next. */
  readonly images: Uint8Array;
  readonly labels?: Int32Array;
  /** The step, from 0 on. */
  readonly step: number;
  /** The number of the first of these images within the step. */
  readonly slot: number;
}

/**
 * The inputs of the loss graph for some images: the images in [-1, 1], noise, and timesteps with their coefficients.
 *
 * Image k of step s takes noise and timestep from (seed, s, k) alone. Its timestep is drawn from stratum k of the step's
 * strata, so that the images of a step cover all noise levels evenly, which makes the gradient's variance less.
 */
export function noised(engine: Engine, how: Noising, { images: bytes, labels, step, slot }: Part) {
  const { seed, columns, stepImages } = how;
  const pixels = sizeOf(how.shape);
  const count = bytes.length / pixels;
  const shape = [count, ...how.shape];
  const first = BigInt(step) * BigInt(stepImages) + BigInt(slot);

  const { images, noise, timestep } = engine.scratch((arena) => {
    const { wasm } = arena;
    const from = arena.alloc(bytes.length);
    arena.u8(from, bytes.length).set(bytes);
    const [x0, eps, words] = [arena.alloc(4 * bytes.length), arena.alloc(4 * bytes.length), arena.alloc(16)];
    wasm.fromBytes(x0, from, 1, bytes.length);
    wasm.normals(eps, count, pixels, seed, trainingNoiseDraw, first);
    const timestep = Float32Array.from({ length: count }, (_, i) => {
      const image = first + BigInt(i);
      wasm.philox(words, seed, 0, trainingTimestepDraw, Number(image & 0xffffffffn), Number(image >> 32n));
      const offset = new Uint32Array(wasm.memory.buffer, words, 1)[0] / 2 ** 32;
      return Math.floor(((slot + i + offset) * how.trainTimesteps) / stepImages);
    });
    return { images: arena.f32(x0, bytes.length).slice(), noise: arena.f32(eps, bytes.length).slice(), timestep };
  });

  const coefficients = new Float32Array(count * columns);
  for (const [i, t] of timestep.entries())
    coefficients.set(how.coefficients.subarray(t * columns, (t + 1) * columns), i * columns);
  return {
    images: { data: images, shape },
    noise: { data: noise, shape },
    timestep: { data: timestep, shape: [count] },
    coefficients: { data: coefficients, shape: [count, columns] },
    classLabels: labels && { data: BigInt64Array.from(labels, BigInt), shape: [count] },
  };
}
