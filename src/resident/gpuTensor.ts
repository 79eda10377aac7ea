import type { Tensor as OrtTensor } from 'onnxruntime-web';
import { sizeOf } from '../core/tensor.ts';
import type { Ort } from '../runtime/types.ts';

/** A GPU with its onnxruntime. */
export interface Gpu {
  readonly ort: Ort;
  readonly device: GPUDevice;
}

// GPUBufferUsage and GPUMapMode, whose values TypeScript's libraries leave out
const [MAP_READ, COPY_SRC, COPY_DST, STORAGE] = [1, 4, 8, 128];
const MAP_MODE_READ = 1;

/** Float32 numbers on the GPU in a buffer of our own, as onnxruntime takes them and writes them; zeros at first. */
export class GpuTensor {
  /** The buffer to onnxruntime, in which it holds nothing back. */
  readonly tensor: OrtTensor;
  readonly #device: GPUDevice;
  readonly #buffer: GPUBuffer;
  readonly #bytes: number;

  constructor({ ort, device }: Gpu, dims: readonly number[]) {
    this.#device = device;
    this.#bytes = 4 * sizeOf(dims);
    // onnxruntime's kernels take four numbers at a time
    const size = Math.ceil(this.#bytes / 16) * 16;
    this.#buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
    this.tensor = ort.Tensor.fromGpuBuffer(this.#buffer, { dataType: 'float32', dims });
  }

  /** Puts numbers there, from `offset` on, before whatever is submitted next. */
  write(numbers: Float32Array<ArrayBuffer>, offset = 0): void {
    this.#device.queue.writeBuffer(this.#buffer, 4 * offset, numbers);
  }

  /** A copy of what is there when all that was submitted is done. */
  async read(): Promise<Float32Array> {
    const copy = this.#device.createBuffer({ size: this.#bytes, usage: MAP_READ | COPY_DST });
    try {
      const encoder = this.#device.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#buffer, 0, copy, 0, this.#bytes);
      this.#device.queue.submit([encoder.finish()]);
      await copy.mapAsync(MAP_MODE_READ);
      return new Float32Array(copy.getMappedRange().slice(0));
    } finally {
      copy.destroy();
    }
  }

  dispose(): void {
    this.#buffer.destroy();
  }
}
