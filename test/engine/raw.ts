import { readFileSync } from 'node:fs';

const bytes = readFileSync(new URL('../../dist/engine.wasm', import.meta.url));
const module = new WebAssembly.Module(bytes);

/** The kernels' exports as they are: pointers are byte offsets in `memory`. */
export interface Kernels {
  readonly memory: WebAssembly.Memory;
  alloc(bytes: number): number;
  mark(): number;
  reset(mark: number): void;
  normals(out: number, images: number, pixels: number, seed: bigint, draw: number, first: bigint): void;
  philox(out: number, key: bigint, c0: number, c1: number, c2: number, c3: number): void;
  step(
    row: number,
    buffers: number,
    images: number,
    pixels: number,
    modelStride: number,
    seed: bigint,
    draw: number,
    first: bigint,
  ): number;
  mix(out: number, x: number, y: number, coefficients: number, images: number, pixels: number): void;
  finite(values: number, count: number): number;
  torchStateBytes(): number;
  torchSeed(state: number, seed: number): void;
  torchWords(state: number, out: number, count: number): void;
  torchNormals(state: number, out: number, count: number): void;
  toBytes(out: number, x: number, channels: number, plane: number): void;
  fromBytes(out: number, bytes: number, channels: number, plane: number): void;
}

/** A new instance of dist/engine.wasm, which takes no imports. */
export function kernels(): Kernels {
  return new WebAssembly.Instance(module, {}).exports as unknown as Kernels;
}

/** A pointer to new memory of the instance; throws where there is none. */
export function allocate(engine: Kernels, bytes: number): number {
  const pointer = engine.alloc(bytes) >>> 0;
  if (pointer === 0) throw new Error(`no memory for ${bytes} bytes`);
  return pointer;
}

/** A pointer to a copy of the values in the instance's memory. */
export function place(engine: Kernels, values: Float32Array | Float64Array | Uint32Array | Uint8Array): number {
  const pointer = allocate(engine, values.byteLength);
  new Uint8Array(engine.memory.buffer).set(
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    pointer,
  );
  return pointer;
}

/** A copy of float32 values from the instance's memory. */
export function floats(engine: Kernels, pointer: number, count: number): Float32Array {
  return new Float32Array(engine.memory.buffer, pointer, count).slice();
}

/** Standard normal deviates, as many as `images` times `pixels`. */
export function drawNormals(
  engine: Kernels,
  images: number,
  pixels: number,
  { seed = 0n, draw = 0, first = 0n } = {},
): Float32Array {
  const mark = engine.mark();
  const out = allocate(engine, 4 * images * pixels);
  engine.normals(out, images, pixels, seed, draw, first);
  const values = floats(engine, out, images * pixels);
  engine.reset(mark);
  return values;
}
