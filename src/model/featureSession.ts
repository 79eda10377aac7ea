import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-web';
import { loadOrt } from '#runtime';
import { DdpmError, show, wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, type Tensor } from '../core/tensor.ts';
import type { ConcreteDevice, LoadedOrt } from '../runtime/types.ts';
import { callSession, floatsOf } from './call.ts';
import { encodeImages, type PixelScale, pixelScale } from './featureFeeds.ts';
import { type FeatureSignature, readFeatureSignature } from './featureSignature.ts';
import type { OnnxFiles } from './folder.ts';
import { resizeImages } from './resize.ts';
import { createSession, named } from './session.ts';
import type { FeatureOptions, FeatureSession } from './types.ts';

/** A network found, and how to open it. */
export interface Opening extends FeatureOptions {
  readonly name: string;
  readonly files: OnnxFiles;
  /** The files' bytes, with the wanted output declared. */
  readonly bytes: Uint8Array;
  readonly batch: number;
  readonly passedOver: readonly string[];
}

/** A session with all that is known about it. */
interface Opened extends LoadedOrt {
  readonly session: InferenceSession;
  readonly signature: FeatureSignature;
  readonly scale: PixelScale;
  /** Height and width that images are brought to. */
  readonly size: readonly [number | undefined, number | undefined];
  readonly batch: number;
}

/** Opens a graph for its features on one device. */
export async function openFeatureSession(device: ConcreteDevice, opening: Opening): Promise<FeatureSession> {
  const { name, files, bytes, threads, batch, range, output, passedOver } = opening;
  const loaded = await loadOrt(device, opening);
  const externalData = files.externalData.length > 0 ? files.externalData : undefined;
  const session = await createSession(loaded, bytes, { threads, name: files.name, externalData });
  try {
    const signature = readFeatureSignature(session, output);
    const scale = pixelScale(range, signature.image.type, signature.shape[0]);
    const opened = { ...loaded, session, signature, scale, size: sizeOfInput(signature, opening.size), batch };
    const dims = signature.output.dims.length === 2 ? signature.output.dims[1] : undefined;
    return sessionOf(opened, {
      name,
      dims: dims ?? (await trialDims(opened)),
      notes: [...passedOver, ...loaded.notes, ...signature.notes],
    });
  } catch (error) {
    await session.release();
    throw named(error, files.name);
  }
}

function sizeOfInput({ shape: [, height, width] }: FeatureSignature, given: FeatureOptions['size']): Opened['size'] {
  const fits = (size: number | undefined, wanted: number) => size === undefined || size === wanted;
  if (given && !(fits(height, given[0]) && fits(width, given[1])))
    throw wrongValue('size', `[${height ?? 'any'}, ${width ?? 'any'}], which the network is made for`, given);
  return given ?? [height, width];
}

function sessionOf(
  opened: Opened,
  { name, dims, notes }: Pick<FeatureSession, 'name' | 'dims' | 'notes'>,
): FeatureSession {
  const { session, signature, device, size } = opened;
  let released: Promise<void> | undefined;
  return {
    name,
    dims,
    shape: [signature.shape[0], ...size],
    output: signature.output.name,
    device,
    notes,
    async features(images) {
      assertImages(images, signature.shape[0]);
      const count = images.shape[0];
      const data = new Float32Array(count * dims);
      const most = signature.fixedBatch ?? opened.batch;
      for (let begin = 0; begin < count; begin += most)
        data.set(await featuresOf(opened, between(images, begin, Math.min(begin + most, count)), dims), begin * dims);
      return { data, shape: [count, dims] };
    },
    dispose() {
      released ??= session.release();
      return released;
    },
  };
}

/** How many features there are, by a run on one black image. */
async function trialDims(opened: Opened): Promise<number> {
  const [height, width] = opened.size;
  if (height === undefined || width === undefined)
    throw wrongKind('size', 'the height and width of an image, which the network leaves open', undefined);
  const shape = [1, opened.signature.shape[0], height, width];
  const result = await call(opened, { data: new Float32Array(shape.reduce((a, b) => a * b)).fill(-1), shape });
  return result.dims[axisOf(result, opened.signature)];
}

function assertImages(images: Tensor, channels: number): void {
  assertTensor(images, 'images');
  const { shape } = images;
  if (shape.length !== 4 || (shape[1] !== channels && shape[1] !== 1))
    throw wrongValue('images.shape', `[n, ${channels === 1 ? 1 : `1 or ${channels}`}, height, width]`, shape);
}

function between({ data, shape }: Tensor, begin: number, end: number): Tensor {
  const stride = data.length / shape[0];
  return { data: data.subarray(begin * stride, end * stride), shape: [end - begin, ...shape.slice(1)] };
}

/** The features of the images of one call, [n, dims]. */
async function featuresOf(opened: Opened, images: Tensor, dims: number): Promise<Float32Array> {
  const count = images.shape[0];
  const result = await call(opened, images);
  const axis = axisOf(result, opened.signature);
  if (![2, 4].includes(result.dims.length) || result.dims[0] < count || result.dims[axis] !== dims)
    throw new DdpmError('network-failed', `expected features [${count}, ${dims}], got ${show(result.dims)}`);
  const features = meanOverPositions(floatsOf(result), { count, dims, ofAll: result.dims[0], last: axis === 3 });
  const odd = features.findIndex((value) => !Number.isFinite(value));
  if (odd >= 0) throw new DdpmError('network-failed', `expected finite features, got ${features[odd]}`);
  return features;
}

async function call(opened: Opened, images: Tensor): Promise<OrtTensor> {
  const { ort, signature, scale, size } = opened;
  const sized = resizeImages(images, size[0] ?? images.shape[2], size[1] ?? images.shape[3]);
  const feeds = { [signature.image.name]: encodeImages(ort, signature, scale, sized) };
  return callSession(opened, { feeds, output: signature.output.name });
}

/** The axis of the features in a result: behind an input [N, H, W, C] maps may be either way, but they are square. */
function axisOf({ dims }: OrtTensor, { channelsLast }: FeatureSignature): 1 | 3 {
  const last = channelsLast && dims.length === 4 && (dims[2] !== dims[3] || dims[1] === dims[2]);
  return last ? 3 : 1;
}

/** The first `count` rows of [ofAll, dims, positions], or with channels last of [ofAll, positions, dims], averaged. */
function meanOverPositions(
  values: Float32Array,
  { count, dims, ofAll, last }: { count: number; dims: number; ofAll: number; last: boolean },
): Float32Array {
  const positions = values.length / ofAll / dims;
  const [byFeature, byPosition] = last ? [1, dims] : [positions, 1];
  return Float32Array.from({ length: count * dims }, (_, at) => {
    const begin = Math.floor(at / dims) * dims * positions + (at % dims) * byFeature;
    let sum = 0;
    for (let p = 0; p < positions; p++) sum += values[begin + p * byPosition];
    return sum / positions;
  });
}
