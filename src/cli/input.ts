import { readFile } from 'node:fs/promises';
import { DdpmError, isArgumentError, wrongValue } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';
import type { Pixels } from '../image/pixels.ts';

type ImageShape = readonly [channels: number, height: number, width: number];

/** PNG files as one tensor [n, channels, height, width] in [-1, 1]; `flag` is what errors name. */
export async function readImages(
  engine: Engine,
  files: readonly string[],
  shape: ImageShape,
  flag: string,
): Promise<Tensor> {
  const { fromPixels } = await import('../image/tensor.ts');
  return fromPixels(engine, await Promise.all(files.map((file) => readPixels(file, shape, flag))));
}

/** A mask file, where white is to be repainted, as diffusers has it: 1 where an image is kept, which is below mid-grey. */
export async function readMask(file: string, [, height, width]: ImageShape): Promise<Tensor> {
  const { data } = await readPixels(file, [1, height, width], 'mask');
  return { data: Float32Array.from(data, (grey) => (grey < 128 ? 1 : 0)), shape: [1, 1, height, width] };
}

/** The tensor `samples` of a safetensors file, of images of this shape. */
export async function readTensor(file: string, shape: ImageShape, flag: string): Promise<Tensor> {
  const { readSafetensors, toFloat32 } = await import('../onnx/safetensors.ts');
  const samples = readSafetensors(await readBytes(file, flag), file).get('samples');
  if (!samples) throw wrongValue(flag, `a tensor "samples" in ${file}`, 'none');
  const [count, ...image] = samples.shape;
  if (!count || image.length !== 3 || image.some((n, i) => n !== shape[i]))
    throw wrongValue(flag, `samples of shape [n, ${shape.join(', ')}] in ${file}`, samples.shape);
  const data = toFloat32(samples);
  if (data.length !== sizeOf(samples.shape) || !data.every(Number.isFinite))
    throw wrongValue(flag, `finite samples in ${file}`, 'NaN or infinity');
  return { data, shape: samples.shape };
}

async function readPixels(file: string, [channels, height, width]: ImageShape, flag: string): Promise<Pixels> {
  const [{ decodePng }, { fitPixels }] = await Promise.all([import('../image/png.ts'), import('../image/fit.ts')]);
  if (channels !== 1 && channels !== 3 && channels !== 4)
    throw wrongValue(flag, 'a model of images with 1, 3 or 4 channels', channels);
  const bytes = await readBytes(file, flag);
  try {
    return fitPixels(await decodePng(bytes), { width, height, channels }, flag);
  } catch (error) {
    // what is wrong with the file is said of the flag that named it
    if (isArgumentError(error) && error.argument === 'bytes')
      throw Object.assign(error, { argument: flag, message: error.message.replace('"bytes"', `"${flag}"`) });
    throw error;
  }
}

async function readBytes(file: string, flag: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await readFile(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reasons: Record<string, string> = { ENOENT: 'it does not exist', EISDIR: 'it is a folder' };
    throw new DdpmError('model-not-found', `--${flag}: cannot read ${file}: ${reasons[code ?? ''] ?? message}`);
  }
}
