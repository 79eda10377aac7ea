import type { Tensor as OrtTensor } from 'onnxruntime-web';
import type { Tensor } from '../core/tensor.ts';
import { encodeHalf } from '../onnx/half.ts';
import type { Ort } from '../runtime/types.ts';
import type { Port, Signature } from './signature.ts';

interface Feeder {
  readonly ort: Ort;
  readonly signature: Signature;
  readonly batch: number;
}

/**
 * Splits a batch into network calls: at most `batch` images each, as many as a graph with a fixed batch takes, and of
 * equal timestep and label where the graph takes only one of those.
 */
export function* chunksOf(
  { signature, batch }: Feeder,
  timesteps: ArrayLike<number>,
  labels: ArrayLike<number> | undefined,
): Generator<{ begin: number; end: number }> {
  const { time, label } = signature;
  const limit = fixedBatch(signature) ?? batch;
  const alike = (i: number, j: number) =>
    (!isShared(time) || timesteps[i] === timesteps[j]) && (!label || !isShared(label) || labels![i] === labels![j]);
  for (let begin = 0, end = 0; begin < timesteps.length; begin = end) {
    do end += 1;
    while (end < timesteps.length && end - begin < limit && alike(begin, end));
    yield { begin, end };
  }
}

/** Images begin..end-1 as an input: a view where the type allows, padded with the first where the batch is fixed. */
export function imageTensor({ ort, signature }: Feeder, x: Tensor, begin: number, end: number): OrtTensor {
  const stride = x.data.length / x.shape[0];
  const count = fixedBatch(signature) ?? end - begin;
  const view = x.data.subarray(begin * stride, end * stride);
  const padded = count === end - begin && view.buffer instanceof ArrayBuffer ? view : pad(view, count * stride, stride);
  const dims = [count, ...x.shape.slice(1)];
  return signature.image.type === 'float16'
    ? new ort.Tensor('float16', encodeHalf(padded), dims)
    : new ort.Tensor('float32', padded, dims);
}

/** Timesteps or labels as an input of the type and rank that it wants: one number, or one an image. */
export function numberTensor(
  ort: Ort,
  { type, dims: { length: rank }, dims }: Port,
  values: readonly number[],
): OrtTensor {
  const shared = isShared({ dims });
  const numbers = shared ? values.slice(0, 1) : values;
  const shape = Array.from({ length: rank }, (_, i) => (i === 0 ? numbers.length : 1));
  switch (type) {
    case 'int64':
      return new ort.Tensor(
        'int64',
        BigInt64Array.from(numbers, (n) => BigInt(Math.round(n))),
        shape,
      );
    case 'int32':
      return new ort.Tensor('int32', Int32Array.from(numbers, Math.round), shape);
    case 'float64':
      return new ort.Tensor('float64', Float64Array.from(numbers), shape);
    case 'float16':
      return new ort.Tensor('float16', encodeHalf(Float32Array.from(numbers)), shape);
    default:
      return new ort.Tensor('float32', Float32Array.from(numbers), shape);
  }
}

/** How many images a graph takes a call, where it takes no other number. */
export function fixedBatch({ image, output, time, label }: Signature): number | undefined {
  const perImage = [time, label].map((port) => port?.dims[0]).find((size) => size !== undefined && size > 1);
  return image.dims[0] ?? output.dims[0] ?? perImage;
}

/** Whether an input holds one number for all images. */
export function isShared({ dims }: Pick<Port, 'dims'>): boolean {
  return dims.length === 0 || dims[0] === 1;
}

function pad(view: Float32Array, length: number, stride: number): Float32Array {
  const padded = new Float32Array(length);
  padded.set(view);
  for (let i = view.length; i < length; i += stride) padded.copyWithin(i, 0, stride);
  return padded;
}
