import { assertInteger, assertOneOf } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertShape, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import type { Engine } from '../engine/engine.ts';

/** Where random numbers come from. */
export type Rng = 'philox' | 'torch';

/**
 * Standard normal deviates.
 *
 * `philox` (default): image k of the shape's first axis depends on (seed, k) alone, the same on every machine and in a
 * batch of any size; it is the noise that a run with that seed starts from. `torch`: what
 * `torch.randn(shape, generator=torch.Generator().manual_seed(seed))` gives on the CPU, to within 1e-6.
 *
 * @throws TypeError or RangeError naming the argument.
 */
export function randn(engine: Engine, shape: readonly number[], options: { seed: number | bigint; rng?: Rng }): Tensor {
  assertShape(shape, 'shape');
  const { seed, rng = 'philox' } = options ?? {};
  assertSeed(seed);
  assertRng(rng);
  return engine.scratch((arena) => {
    const size = sizeOf(shape);
    const out = arena.alloc(size * 4);
    createDraws(arena, { rng, seed, first: 0, images: shape[0], pixels: size / shape[0] }).fill(out);
    return { data: arena.f32(out, size).slice(), shape: [...shape] };
  });
}

/** The random numbers of one run. */
export interface Draws {
  readonly seed: bigint;
  readonly first: bigint;
  /** Writes the draw that a run starts from. */
  fill(out: number): void;
  /** A pointer to the noise of a draw, or 0 where the step kernel draws it itself. Draws must be asked for in order. */
  noise(draw: number): number;
}

/** What decides the draws of a run over `images` images of `pixels` values each. */
export interface DrawOptions {
  readonly rng: Rng;
  readonly seed: number | bigint;
  readonly first: number;
  readonly images: number;
  readonly pixels: number;
}

export function createDraws(arena: Arena, options: DrawOptions): Draws {
  return options.rng === 'torch' ? torchDraws(arena, options) : philoxDraws(arena, options);
}

/** Counter-based: any draw of any image at any time, so the step kernel makes them as it goes. */
function philoxDraws({ wasm }: Arena, options: DrawOptions): Draws {
  const { images, pixels } = options;
  const seed = BigInt(options.seed);
  const first = BigInt(options.first);
  return {
    seed,
    first,
    fill: (out) => wasm.normals(out, images, pixels, seed, 0, first),
    noise: () => 0,
  };
}

/** One stream for the whole run, drawn a tensor at a time in diffusers' order. */
function torchDraws(arena: Arena, { seed, first, images, pixels }: DrawOptions): Draws {
  assertTorchFirst(first);
  const { wasm } = arena;
  if (!('torchSeed' in wasm)) throw wrongValue('rng', 'philox, as step.wasm has no other', 'torch');
  const state = arena.alloc(wasm.torchStateBytes());
  const size = images * pixels;
  wasm.torchSeed(state, Number(BigInt.asUintN(32, BigInt(seed))));
  let buffer = 0;
  return {
    seed: BigInt(seed),
    first: 0n,
    fill: (out) => wasm.torchNormals(state, out, size),
    noise() {
      buffer ||= arena.alloc(size * 4);
      wasm.torchNormals(state, buffer, size);
      return buffer;
    },
  };
}

/** The noise of one draw after another, for work that keeps no memory of the engine between them. */
export function noiseStream(engine: Engine, options: DrawOptions & { readonly shape: readonly number[] }) {
  const { rng, shape, images, pixels } = options;
  const [seed, first] = [BigInt(options.seed), BigInt(options.first)];
  if (rng === 'torch') assertTorchFirst(options.first);
  let state: Uint8Array | undefined;
  return (draw: number): Tensor =>
    engine.scratch((arena) => {
      const size = images * pixels;
      const out = arena.alloc(size * 4);
      if (rng === 'philox') arena.wasm.normals(out, images, pixels, seed, draw, first);
      else {
        const bytes = arena.wasm.torchStateBytes();
        const generator = arena.alloc(bytes);
        if (state) arena.u8(generator, bytes).set(state);
        else arena.wasm.torchSeed(generator, Number(BigInt.asUintN(32, seed)));
        arena.wasm.torchNormals(generator, out, size);
        state = arena.u8(generator, bytes).slice();
      }
      return { data: arena.f32(out, size).slice(), shape };
    });
}

/** Throws unless `seed` is an integer in 0..2^64-1; a number must be one that holds integers exactly. */
export function assertSeed(seed: unknown): asserts seed is number | bigint {
  const expected = 'an integer in 0..2^64-1';
  if (typeof seed === 'bigint') {
    if (seed < 0n || seed >= 2n ** 64n) throw wrongValue('seed', expected, seed);
  } else if (typeof seed === 'number') assertInteger(seed, 'seed', 0, Number.MAX_SAFE_INTEGER);
  else throw wrongKind('seed', expected, seed);
}

function assertTorchFirst(first: number): void {
  if (first !== 0) throw wrongValue('first', "0 with torch's stream, which has no beginning in the middle", first);
}

export function assertRng(rng: unknown): asserts rng is Rng {
  assertOneOf(rng, 'rng', ['philox', 'torch']);
}
