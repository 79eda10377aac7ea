import { DdpmError } from '../core/errors.ts';
import type { EngineExports } from './exports.ts';

/**
 * One instance of the engine and its memory, handed out by bumping a pointer.
 *
 * Growing the memory detaches every view, so views are made when they are used and never kept across an allocation.
 */
export class Arena {
  readonly wasm: EngineExports;
  readonly #base: number;

  constructor(instance: WebAssembly.Instance) {
    this.wasm = instance.exports as EngineExports;
    this.#base = this.wasm.mark();
  }

  /** Gives up all that was allocated. */
  clear(): void {
    this.wasm.reset(this.#base);
  }

  /** A pointer to `bytes` fresh bytes, 16-byte aligned, not zeroed. */
  alloc(bytes: number): number {
    const pointer = bytes < 2 ** 32 ? this.wasm.alloc(bytes) >>> 0 : 0;
    if (pointer === 0)
      throw new DdpmError('out-of-memory', `${Math.ceil(bytes / 2 ** 20)} MiB more than the engine's memory can hold`);
    return pointer;
  }

  /** A copy of `values` in the engine's memory. */
  allocF32(values: ArrayLike<number>): number {
    const pointer = this.alloc(values.length * 4);
    this.f32(pointer, values.length).set(values);
    return pointer;
  }

  /** A copy of `values` in the engine's memory. */
  allocF64(values: ArrayLike<number>): number {
    const pointer = this.alloc(values.length * 8);
    this.f64(pointer, values.length).set(values);
    return pointer;
  }

  /** A copy of `values` in the engine's memory. */
  allocU32(values: ArrayLike<number>): number {
    const pointer = this.alloc(values.length * 4);
    new Uint32Array(this.wasm.memory.buffer, pointer, values.length).set(values);
    return pointer;
  }

  /** Copies bytes within the engine's memory. */
  copy(to: number, from: number, bytes: number): void {
    new Uint8Array(this.wasm.memory.buffer).copyWithin(to, from, from + bytes);
  }

  f32(pointer: number, length: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.wasm.memory.buffer as ArrayBuffer, pointer, length);
  }

  f64(pointer: number, length: number): Float64Array<ArrayBuffer> {
    return new Float64Array(this.wasm.memory.buffer as ArrayBuffer, pointer, length);
  }

  u8(pointer: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.wasm.memory.buffer as ArrayBuffer, pointer, length);
  }
}
