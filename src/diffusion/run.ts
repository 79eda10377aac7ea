import type { Denoiser } from '../core/denoiser.ts';
import { DdpmError, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { Answers, firstBad } from './answers.ts';
import type { Guide } from './guide.ts';
import { Known } from './known.ts';
import { correct } from './langevin.ts';
import { Origin } from './origin.ts';
import { type Plan, rowData, rowFields, slotCount } from './plan.ts';
import type { RunOptions } from './runOptions.ts';
import type { Walker } from './walk.ts';

/** Draws of the noise for known pixels begin here, where no row's are: philox has 2^32, torch takes the next of its stream. */
const knownDraws = 2 ** 31;

/** The buffers of a run in an arena of its own: the state x, the network's answer, the noise. */
export class Run implements Walker {
  readonly #arena: Arena;
  readonly #plan: Plan;
  readonly #options: RunOptions;
  readonly #shape: readonly number[];
  readonly #count: number;
  readonly #pixels: number;
  readonly #origin: Origin;
  readonly #rows: number;
  readonly #buffers: number;
  readonly #start: number;
  /** What rows keep for later ones; 0 where a plan has no use for a slot. */
  readonly #slots: readonly number[];
  readonly #answers: Answers;
  readonly #known: Known | undefined;
  /** What a guide may write into, and a row's score; allocated where they are needed. */
  #guided = 0;
  #score = 0;

  constructor(arena: Arena, plan: Plan, denoiser: Denoiser, options: RunOptions & { readonly keepStart: boolean }) {
    const { shape, inpaint, keepStart } = options;
    this.#arena = arena;
    this.#plan = plan;
    this.#options = options;
    this.#shape = shape;
    this.#count = shape[0];
    this.#pixels = sizeOf(shape.slice(1));
    const size = sizeOf(shape);

    this.#rows = arena.allocF64(rowData(plan.rows));
    this.#buffers = arena.alloc((slotCount + 5) * 4); // x, model, the slots, noise, startOut, out
    this.#start = keepStart ? arena.alloc(size * 4) : 0;
    this.#slots = Array.from({ length: slotCount }, (_, i) => {
      const used = plan.rows.some((row) => row.store === i + 1);
      return used ? arena.alloc(size * 4) : 0;
    });
    this.#answers = new Answers(arena, denoiser, plan);
    this.#known = inpaint && new Known(arena, inpaint, shape);
    this.#origin = new Origin(arena, plan, options);
  }

  state() {
    return { x: this.#origin.view(this.#x), start: this.#origin.view(this.#start) };
  }

  /** Asks the network about x and keeps its answer in the engine's memory, where it may have written it itself. */
  async predict(row: number, index: number): Promise<void> {
    const { timestep } = this.#plan.rows[row];
    const { condition, guide } = this.#options;
    const timesteps = new Float32Array(this.#count).fill(timestep);
    const where = `at step ${row + 1} of ${this.#plan.rows.length} (timestep ${timestep})`;
    await this.#answers.ask({ x: this.#origin.view(this.#x), timesteps, condition, where });
    if (guide) await this.#follow(guide, row, index);
  }

  get #x(): number {
    return this.#origin.x;
  }

  /** Has a guide correct the estimate of a row, and changes the network's answer to one that gives that estimate. */
  async #follow(guide: Guide, row: number, index: number): Promise<void> {
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
    const start = this.#origin.view(this.#guided);
    const info = { index, calls: this.#plan.calls, condition, signal };
    const corrected = await guide(start, this.#origin.view(this.#x), timestep, info);
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
    const noise = row.sigma !== 0 ? this.#origin.draws.noise(draw) : 0;
    const corrects = row.langevin > 0;
    if (corrects) this.#score ||= this.#arena.alloc(this.#count * this.#pixels * 4);
    const { seed, first } = this.#origin.draws;
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
    this.#known.keep(this.#x, next && { timestep: next.timestep, noise: this.#origin.noise(knownDraws + row) });
  }

  /** A step along the score that a row has found. */
  #correct(ratio: number, draw: number): void {
    const [images, pixels] = [this.#count, this.#pixels];
    correct(this.#arena, { x: this.#x, score: this.#score, noise: this.#origin.noise(draw), images, pixels, ratio });
  }
}
