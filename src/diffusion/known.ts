import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import { alphaCumprodAt } from './alphaCumprodAt.ts';
import type { Schedule } from './schedule.ts';

/** Images that a run starts from instead of from fresh noise. */
export interface Init {
  /** [n, channels, height, width] in [-1, 1]; one for all images of the run, or one for each. */
  readonly images: Tensor;
  /** The schedule of the plan, which says how much noise its first row expects. */
  readonly schedule: Schedule;
}

/** Images of which a run keeps a part and generates the rest. */
export interface Inpainting extends Init {
  /**
   * 1 where the images are kept, 0 where new ones are generated, between them a mixture; [n, 1 or channels, height,
   * width], one for all images or one for each. This is the m of RePaint; a mask file of the command line is the
   * other way around, as in diffusers.
   */
  readonly mask: Tensor;
}

/** Throws unless there is one image, or one for each of the run's. */
export function assertImages(value: unknown, argument: string, shape: readonly number[], anyChannel = false) {
  assertTensor(value, argument);
  const [count, channels, ...plane] = shape;
  const [n, c, ...rest] = value.shape;
  const fits = (n === 1 || n === count) && (c === channels || (anyChannel && c === 1));
  if (!fits || rest.length !== plane.length || rest.some((side, i) => side !== plane[i]))
    throw wrongValue(
      `${argument}.shape`,
      `[1${count > 1 ? ` or ${count}` : ''}, ${[anyChannel && channels > 1 ? `1 or ${channels}` : channels, ...plane].join(', ')}]`,
      value.shape,
    );
}

/** Throws unless the parts of `init` or `inpaint` fit a run of this shape. */
export function assertKnown(value: unknown, argument: string, shape: readonly number[]): void {
  if (typeof value !== 'object' || value === null) throw wrongKind(argument, 'an object', value);
  const { images, schedule, mask } = value as Partial<Inpainting>;
  assertImages(images, `${argument}.images`, shape);
  if (!schedule?.alphasCumprod) throw wrongKind(`${argument}.schedule`, 'the schedule of the plan', schedule);
  if (argument !== 'inpaint') return;
  assertImages(mask, 'inpaint.mask', shape, true);
  const outside = mask!.data.find((value) => !(value >= 0 && value <= 1));
  if (outside !== undefined) throw wrongValue('inpaint.mask', 'numbers in 0..1', outside);
}

/** A copy in the engine's memory for every image of the run, and for every channel where the mask has one for all. */
export function placeImages(arena: Arena, { data, shape: [n, c] }: Tensor, shape: readonly number[]): number {
  const [count, channels, ...rest] = shape;
  const plane = sizeOf(rest);
  const pointer = arena.alloc(sizeOf(shape) * 4);
  const all = arena.f32(pointer, sizeOf(shape));
  for (let i = 0; i < count * channels; i++) {
    const [image, channel] = [Math.floor(i / channels), i % channels];
    const from = ((n === 1 ? 0 : image) * c + (c === 1 ? 0 : channel)) * plane;
    all.set(data.subarray(from, from + plane), i * plane);
  }
  return pointer;
}

/** q(x_t given x_0) in place of the noise at `x`: sqrt(abar) images + sqrt(1 - abar) x. */
export function noiseTo(arena: Arena, { x, images, size, abar }: Record<'x' | 'images' | 'size' | 'abar', number>) {
  const mark = arena.wasm.mark();
  const weights = arena.allocF64([Math.sqrt(abar), Math.sqrt(1 - abar)]);
  arena.wasm.mix(x, images, x, weights, 1, size);
  arena.wasm.reset(mark);
}

/** The known pixels of a run, put back in place after each step. */
export class Known {
  readonly #arena: Arena;
  readonly #schedule: Schedule;
  readonly #size: number;
  readonly #images: number;
  readonly #mask: number;

  constructor(arena: Arena, { images, mask, schedule }: Inpainting, shape: readonly number[]) {
    this.#arena = arena;
    this.#schedule = schedule;
    this.#size = sizeOf(shape);
    this.#images = placeImages(arena, images, shape);
    this.#mask = placeImages(arena, mask, shape);
  }

  /**
   * x = mask*known + (1 - mask)*x, with the known pixels noised to the timestep at which the network is asked next by
   * the noise at a pointer, which they overwrite; as they are after the last step.
   */
  keep(x: number, next?: { readonly timestep: number; readonly noise: number }): void {
    if (next) {
      const abar = alphaCumprodAt(this.#schedule, next.timestep);
      noiseTo(this.#arena, { x: next.noise, images: this.#images, size: this.#size, abar });
    }
    this.#arena.wasm.blend(x, next?.noise ?? this.#images, this.#mask, this.#size);
  }
}
