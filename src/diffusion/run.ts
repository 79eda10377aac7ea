import type { Denoiser } from '../core/denoiser.ts';
import { DdpmError, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { alphaCumprodAt } from './alphaCumprodAt.ts';
import { Answers, firstBad } from './answers.ts';
import type { Guide } from './guide.ts';
import { type Init, Known, noiseTo, placeImages } from './known.ts';
import { correct } from './langevin.ts';
import { createDraws, type Draws } from './noise.ts';
import { type Plan, rowData, rowFields, slotCount } from './plan.ts';
import type { RunOptions } from './runOptions.ts';

/** Draws of the noise for known pixels begin here, where no row's are: philox has 2^32, torch takes the next of its stream. */
const knownDraws = 2 ** 31;

/** The buffers of a run in an arena of its own: the state x, the network's answer, the noise. */
export class Run {
  readonly #arena: Arena;
  readonly #plan: Plan;
  readonly #options: RunOptions;
  readonly #shape: readonly number[];
  readonly #count: number;
  readonly #pixels: number;
  readonly #draws: Draws;
  readonly #rows: number;
  readonly #buffers: number;
  readonly #x: number;
  readonly #start: number;
  /** What rows keep for later ones; 0 where a plan has no use for a slot. */
  readonly #slots: readonly number[];
  readonly #answers: Answers;
  readonly #known: Known | undefined;
  /** What a guide may write into, a row's score, and noise that no kernel draws; allocated where they are needed. */
  #guided = 0;
  #score = 0;
  #spare = 0;

  constructor(arena: Arena, plan: Plan, denoiser: Denoiser, options: RunOptions & { readonly keepStart: boolean }) {
    const { shape, start, init, inpaint, seed, rng = 'philox', first = 0, keepStart } = options;
    this.#arena = arena;
    this.#plan = plan;
    this.#options = options;
    this.#shape = shape;
    this.#count = shape[0];
    this.#pixels = sizeOf(shape.slice(1));
    const size = sizeOf(shape);

    this.#rows = arena.allocF64(rowData(plan.rows));
    this.#buffers = arena.alloc((slotCount + 5) * 4); // x, model, the slots, noise, startOut, out
    this.#x = arena.alloc(size * 4);
    this.#start = keepStart ? arena.alloc(size * 4) : 0;
    this.#slots = Array.from({ length: slotCount }, (_, i) => {
      const used = plan.rows.some((row) => row.store === i + 1);
      return used ? arena.alloc(size * 4) : 0;
    });
    this.#answers = new Answers(arena, denoiser, plan);
    this.#draws = createDraws(arena, { rng, seed, first, images: this.#count, pixels: this.#pixels });

    this.#known = inpaint && new Known(arena, inpaint, shape);
    if (start) arena.f32(this.#x, size).set(start.data);
    else this.#draws.fill(this.#x);
    if (init) this.#noiseTo(init, plan);
    else if (plan.initialScale !== 1) this.#scale(plan.initialScale);
  }

  get x(): Tensor {
    return { data: this.#arena.f32(this.#x, this.#count * this.#pixels), shape: this.#shape };
  }

  get start(): Tensor {
    return { data: this.#arena.f32(this.#start, this.#count * this.#pixels), shape: this.#shape };
  }

  /** Asks the network about x and keeps its answer in the engine's memory, where it may have written it itself. */
  async predict(index: number): Promise<void> {
    const { timestep } = this.#plan.rows[index];
    const timesteps = new Float32Array(this.#count).fill(timestep);
    const where = `at step ${index + 1} of ${this.#plan.rows.length} (timestep ${timestep})`;
    await this.#answers.ask({ x: this.x, timesteps, condition: this.#options.condition, where });
  }

  /** Has a guide correct the estimate of a row, and changes the network's answer to one that gives that estimate. */
  async follow(guide: Guide, row: number, index: number): Promise<void> {
    const { wasm } = this.#arena;
    const { a, b, timestep } = this.#plan.rows[row];
    if (b === 0) return;
    const size = this.#count * this.#pixels;
    this.#guided ||= this.#arena.alloc(size * 4);
    const stride = this.#answers.stride!;
    const weights = this.#rows + (row * rowFields + 1) * 8; // the row's a and b, side by side
    for (let i = 0; i < this.#count; i++) {
      const [model, at] = [this.#answers.pointer + i * stride * 4, i * this.#pixels * 4];
      wasm.mix(this.#guided + at, this.#x + at, model, weights, 1, this.#pixels);
    }

    const { condition, signal } = this.#options;
    const start = this.#tensor(this.#guided, this.#shape);
    const corrected = await guide(start, this.x, timestep, { index, calls: this.#plan.calls, condition, signal });
    if (corrected === undefined) return;
    assertTensor(corrected, 'guide', this.#shape);
    if (corrected.data !== start.data) this.#arena.f32(this.#guided, size).set(corrected.data);
    if (!wasm.finite(this.#guided, size))
      throw wrongValue('guide', `finite numbers at timestep ${timestep}`, Number(firstBad(corrected.data)));
    for (let i = 0; i < this.#count; i++) {
      const [model, at] = [this.#answers.pointer + i * stride * 4, i * this.#pixels * 4];
      wasm.redirect(model, this.#x + at, this.#guided + at, a, b, this.#pixels);
    }
  }

  /** Applies a row to all pixels. */
  step(index: number): void {
    const { wasm } = this.#arena;
    const row = this.#plan.rows[index];
    const draw = index + 1; // draw 0 is x_T
    const noise = row.sigma !== 0 ? this.#draws.noise(draw) : 0;
    const corrects = row.langevin > 0;
    if (corrects) this.#score ||= this.#arena.alloc(this.#count * this.#pixels * 4);
    const { seed, first } = this.#draws;
    const startOut = row.calls > 0 ? this.#start : 0;
    const pointers = [
      this.#x,
      this.#answers.pointer,
      ...this.#slots,
      noise,
      startOut,
      corrects ? this.#score : this.#x,
    ];
    new Uint32Array(wasm.memory.buffer, this.#buffers, pointers.length).set(pointers);
    const modelStride = this.#answers.stride ?? this.#pixels;
    const at = this.#rows + index * rowFields * 8;
    const done = wasm.step(at, this.#buffers, this.#count, this.#pixels, modelStride, seed, draw, first);
    if (!done) throw new DdpmError('out-of-memory', "one image more than the engine's memory can hold");
    if (corrects) this.#correct(row.langevin, draw);
  }

  /** Puts the known pixels back after the last row of a step. */
  keep(row: number): void {
    if (!this.#known) return;
    const next = this.#plan.rows[row + 1];
    this.#known.keep(this.#x, next && { timestep: next.timestep, noise: this.#noise(knownDraws + row) });
  }

  /** A step along the score that a row has found. */
  #correct(ratio: number, draw: number): void {
    const [images, pixels] = [this.#count, this.#pixels];
    correct(this.#arena, { x: this.#x, score: this.#score, noise: this.#noise(draw), images, pixels, ratio });
  }

  /** Noise that the step kernel does not draw itself. */
  #noise(draw: number): number {
    const { seed, first } = this.#draws;
    const drawn = this.#draws.noise(draw);
    if (drawn) return drawn;
    this.#spare ||= this.#arena.alloc(this.#count * this.#pixels * 4);
    this.#arena.wasm.normals(this.#spare, this.#count, this.#pixels, seed, draw, first);
    return this.#spare;
  }

  #tensor(pointer: number, shape: readonly number[]): Tensor {
    return { data: this.#arena.f32(pointer, sizeOf(shape)), shape };
  }

  /** Noises the images to the level at which the plan first asks the network; the noise is in x. */
  #noiseTo({ images, schedule }: Init, { rows }: Plan): void {
    const { timestep } = rows.find(({ calls }) => calls > 0)!;
    const size = this.#count * this.#pixels;
    const abar = alphaCumprodAt(schedule, timestep);
    noiseTo(this.#arena, { x: this.#x, images: placeImages(this.#arena, images, this.#shape), size, abar });
  }

  #scale(by: number): void {
    this.#arena.wasm.mix(this.#x, this.#x, this.#x, this.#arena.allocF64([by, 0]), 1, this.#count * this.#pixels);
  }
}
