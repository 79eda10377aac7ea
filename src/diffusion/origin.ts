import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { alphaCumprodAt } from './alphaCumprodAt.ts';
import { type Init, noiseTo, placeImages } from './known.ts';
import { createDraws, type Draws } from './noise.ts';
import type { Plan } from './plan.ts';
import type { RunOptions } from './runOptions.ts';

/** Where a run begins, and the noise on its way, in the engine's memory. */
export class Origin {
  readonly draws: Draws;
  /** A pointer to the first x. */
  readonly x: number;
  readonly #arena: Arena;
  readonly #shape: readonly number[];
  #spare = 0;

  constructor(arena: Arena, plan: Plan, { shape, start, init, seed, rng = 'philox', first = 0 }: RunOptions) {
    const [images, ...image] = shape;
    this.#arena = arena;
    this.#shape = shape;
    this.x = arena.alloc(sizeOf(shape) * 4);
    this.draws = createDraws(arena, { rng, seed, first, images, pixels: sizeOf(image) });
    if (start) arena.f32(this.x, sizeOf(shape)).set(start.data);
    else this.draws.fill(this.x);
    if (init) this.#noiseTo(init, plan);
    else if (plan.initialScale !== 1) this.#scale(plan.initialScale);
  }

  /** A pointer to the noise of a draw, which the step kernel has no need of where it draws it itself. */
  noise(draw: number): number {
    const { seed, first } = this.draws;
    const drawn = this.draws.noise(draw);
    if (drawn) return drawn;
    const [images, ...image] = this.#shape;
    this.#spare ||= this.#arena.alloc(sizeOf(this.#shape) * 4);
    this.#arena.wasm.normals(this.#spare, images, sizeOf(image), seed, draw, first);
    return this.#spare;
  }

  /** What is at a pointer, as images of the run: a view until memory is next allocated. */
  view(pointer: number): Tensor {
    return { data: this.#arena.f32(pointer, sizeOf(this.#shape)), shape: this.#shape };
  }

  /** Noises the images to the level at which the plan first asks the network; the noise is in x. */
  #noiseTo({ images, schedule }: Init, { rows }: Plan): void {
    const { timestep } = rows.find(({ calls }) => calls > 0)!;
    const abar = alphaCumprodAt(schedule, timestep);
    const placed = placeImages(this.#arena, images, this.#shape);
    noiseTo(this.#arena, { x: this.x, images: placed, size: sizeOf(this.#shape), abar });
  }

  #scale(by: number): void {
    const size = sizeOf(this.#shape);
    this.#arena.wasm.mix(this.x, this.x, this.x, this.#arena.allocF64([by, 0]), 1, size);
  }
}
