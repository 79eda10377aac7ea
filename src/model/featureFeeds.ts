import type { Tensor as OrtTensor } from 'onnxruntime-web';
import { assertNumber, assertOneOf } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import { encodeHalf } from '../onnx/half.ts';
import type { Ort } from '../runtime/types.ts';
import type { FeatureSignature } from './featureSignature.ts';
import type { PixelRange } from './types.ts';

/** What a pixel of [-1, 1] becomes, by channel: pixel * factor + offset. */
export interface PixelScale {
  readonly factors: readonly number[];
  readonly offsets: readonly number[];
}

/** How a network wants its pixels. @throws RangeError for bytes in another range than 0..255. */
export function pixelScale(range: PixelRange | undefined, type: string, channels: number): PixelScale {
  const bytes = type === 'uint8';
  const { mean, std } = normalisation(range ?? (bytes ? '0..255' : '-1..1'));
  if (bytes && range !== undefined && range !== '0..255')
    throw wrongValue('range', '0..255, as the network takes bytes', range);
  const [means, deviations] = [perChannel(mean, 'mean', channels), perChannel(std, 'std', channels)];
  const zero = deviations.find((deviation) => deviation <= 0);
  if (zero !== undefined) throw wrongValue('range.std', 'numbers above 0', zero);
  return {
    factors: deviations.map((deviation) => 0.5 / deviation),
    offsets: deviations.map((deviation, c) => (0.5 - means[c]) / deviation),
  };
}

/** Images of the size that the network wants as its input, in its type and layout; a fixed batch is filled with zeros. */
export function encodeImages(
  ort: Ort,
  { image, channelsLast, shape: [channels], fixedBatch }: FeatureSignature,
  { factors, offsets }: PixelScale,
  { data, shape: [n, given, height, width] }: Tensor,
): OrtTensor {
  const count = fixedBatch ?? n;
  const pixels = height * width;
  const dims = channelsLast ? [count, height, width, channels] : [count, channels, height, width];
  const values = new Float32Array(sizeOf(dims));
  const [byPixel, byChannel] = channelsLast ? [channels, 1] : [1, pixels];
  for (let i = 0; i < n; i++)
    for (let c = 0; c < channels; c++) {
      // a grey image has one plane for all channels
      const from = (i * given + (given === 1 ? 0 : c)) * pixels;
      const to = i * channels * pixels + c * byChannel;
      for (let p = 0; p < pixels; p++) values[to + p * byPixel] = data[from + p] * factors[c] + offsets[c];
    }
  if (image.type === 'uint8') return new ort.Tensor('uint8', bytesOf(values), dims);
  if (image.type === 'float16') return new ort.Tensor('float16', encodeHalf(values), dims);
  return new ort.Tensor('float32', values, dims);
}

function normalisation(range: PixelRange) {
  if (typeof range === 'object' && range !== null) return range;
  assertOneOf(range, 'range', ['-1..1', '0..1', '0..255']);
  const table = { '-1..1': { mean: 0.5, std: 0.5 }, '0..1': { mean: 0, std: 1 }, '0..255': { mean: 0, std: 1 / 255 } };
  return table[range];
}

function perChannel(value: unknown, key: 'mean' | 'std', channels: number): number[] {
  const list = Array.isArray(value) ? value : Array<unknown>(channels).fill(value);
  if (list.length !== channels) throw wrongKind(`range.${key}`, `one number or ${channels}`, value);
  return list.map((number) => {
    assertNumber(number, `range.${key}`);
    return number;
  });
}

/** Clamped and rounded half to even. */
function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(Uint8ClampedArray.from(values).buffer);
}
