import { sizeOf } from '../core/tensor.ts';
import { maxSide, type Pixels } from '../image/pixels.ts';
import { fromPlanes } from '../image/planes.ts';
import { ITEM_SIZES, type StoredType, safetensorsLayout, toFloat32 } from '../onnx/safetensors.ts';
import type { DataFile } from './dataFile.ts';
import { findLabels } from './labelFile.ts';
import { mostNpyHeader, readNpyHeader } from './npy.ts';
import { assertLength, type Decoded, type LabelRecords, type Records, recordSource } from './records.ts';
import { type ImageSource, invalid, maxPixels, ofDataset } from './source.ts';

/** An array in a file, from byte `begin` on. */
interface StoredArray {
  readonly file: DataFile;
  /** What messages call it. */
  readonly name: string;
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  readonly begin: number;
}

/** The images of an .npy file; labels are those of the file beside it, see `findLabels`. */
export async function openNpy(file: DataFile, place: string | URL, signal?: AbortSignal): Promise<ImageSource> {
  const images = await readNpy(file);
  const { file: labels, notes } = await findLabels(place, signal);
  return arraySource(images, labels && (await readNpy(labels)), notes);
}

/**
 * The images of a safetensors file: tensor `images`, else `samples`, else the only one of four axes or of three. Labels
 * are tensor `labels`, if there is one.
 */
export async function openSafetensors(file: DataFile): Promise<ImageSource> {
  const places = await ofDataset(async () => {
    const [head, size] = [await file.head(8), file.size ?? 0];
    const length = new DataView(head.buffer, head.byteOffset, 8).getUint32(0, true);
    return safetensorsLayout(await file.head(8 + length), size, file.name);
  });
  const array = (key: string): StoredArray => ({
    file,
    name: `${file.name}: tensor ${JSON.stringify(key)}`,
    ...places.get(key)!,
  });
  const key = ['images', 'samples'].find((name) => places.has(name)) ?? onlyImages(file.name, [...places]);
  const labels = places.has('labels') ? array('labels') : undefined;
  return arraySource(array(key), labels, labels ? [] : ['no labels: there is no tensor "labels"']);
}

/** Whether a file begins as a safetensors file does: the length of a JSON object, and the object. */
export function isSafetensors(head: Uint8Array): boolean {
  return head.length >= 9 && head[8] === 0x7b && head.subarray(3, 8).every((byte) => byte === 0);
}

async function readNpy(file: DataFile): Promise<StoredArray> {
  const header = readNpyHeader(await file.head(mostNpyHeader), file.name);
  const array = { file, name: file.name, ...header };
  assertLength(recordsOf(array), header.shape);
  return array;
}

function onlyImages(name: string, places: readonly [string, { shape: readonly number[] }][]): string {
  const keys = [4, 3].map((rank) => places.filter(([, { shape }]) => shape.length === rank).map(([key]) => key));
  const fitting = keys.find(({ length }) => length > 0) ?? [];
  if (fitting.length === 1) return fitting[0];
  const got = fitting.slice(0, 8).map((key) => JSON.stringify(key));
  throw invalid(name, 'a tensor "images" or "samples", or a single one of four axes', got.join(', ') || 'none');
}

function arraySource(images: StoredArray, labels: StoredArray | undefined, notes: readonly string[]): ImageSource {
  const layout = layoutOf(images);
  const labelRecords = labels && labelsOf(labels, layout.count);
  const { dtype } = images;
  if (dtype !== 'U8' && !floats.includes(dtype))
    throw invalid(images.name, 'bytes (0 to 255) or floats (-1 to 1)', `type ${dtype}`);
  return recordSource({
    images: [recordsOf(images)],
    size: layout,
    labelRecords,
    notes: dtype === 'U8' ? notes : [...notes, `${images.name}: floats are taken to lie in [-1, 1]`],
    decode: (data) => (dtype === 'U8' ? { image: toPixels(data, layout) } : fromFloats(dtype, data, layout)),
  });
}

const floats: readonly StoredType[] = ['F16', 'BF16', 'F32', 'F64'];
const integers: readonly StoredType[] = ['U8', 'I8', 'U16', 'I16', 'U32', 'I32', 'U64', 'I64'];

/** How images lie in an array. */
export interface Layout {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly channels: Pixels['channels'];
  /** Whether the channels of a pixel lie together. */
  readonly interleaved: boolean;
}

/**
 * What the axes are. Three are [count, height, width]. Of four, one of the second and the last must be 1, 3 or 4 long,
 * which are the channels; where both are, or where three axes could be those of one image in colour, it is not guessed.
 */
export function layoutOf({ name, shape }: Pick<StoredArray, 'name' | 'shape'>): Layout {
  const isChannels = (n: number) => n === 1 || n === 3 || n === 4;
  const got = `[${shape.join(', ')}]`;
  const [count, a, b, c] = shape;
  if (shape.length === 3 && (isChannels(b) || count === 3 || count === 4))
    throw invalid(name, 'four axes, to tell images in grey from one in colour', got);
  if (shape.length === 4 && isChannels(a) && isChannels(c))
    throw invalid(name, 'channels (1, 3 or 4) in the second axis or in the last, to tell which', `both in ${got}`);
  const interleaved = shape.length === 4 && isChannels(c);
  const axes = shape.length === 3 ? [1, a, b] : interleaved ? [c, a, b] : [a, b, c];
  const [channels, height, width] = axes;
  const good = shape.length === 3 || (shape.length === 4 && isChannels(channels));
  const side = (n: number) => n >= 1 && n <= maxSide;
  if (!good || !side(height) || !side(width) || height * width > maxPixels)
    throw invalid(
      name,
      'images [count, channels, height, width], [count, height, width, channels] or [count, height, width]',
      got,
    );
  return { count, width, height, channels: channels as Pixels['channels'], interleaved };
}

function labelsOf(labels: StoredArray, images: number): LabelRecords {
  const { name, shape, dtype } = labels;
  if (!integers.includes(dtype)) throw invalid(name, 'labels that are whole numbers', `type ${dtype}`);
  if (shape.length !== 1 || shape[0] !== images)
    throw invalid(name, `${images} labels, one an image`, `[${shape.join(', ')}]`);
  return { ...recordsOf(labels), decode: (data) => toFloat32({ dtype, shape: [], data })[0] };
}

function recordsOf({ file, dtype, shape, begin }: StoredArray): Records {
  const [count = 1, ...record] = shape;
  return { file, begin, bytes: sizeOf(record) * ITEM_SIZES[dtype], count };
}

/** Samples are clamped as they are when they become PNG files; what lies further out was meant otherwise. */
const furthest = 1.5;

function fromFloats(dtype: StoredType, data: Uint8Array, layout: Layout): Decoded {
  const values = toFloat32({ dtype, shape: [], data });
  const odd = values.find((value) => !(Math.abs(value) <= furthest));
  if (odd !== undefined) return { problem: `expected values in [-1, 1], got ${odd}` };
  const bytes = Uint8Array.from(values, (value) => Math.round((Math.min(Math.max(value, -1), 1) + 1) * 127.5));
  return { image: toPixels(bytes, layout) };
}

/** A stored image of bytes. */
export function toPixels(data: Uint8Array, layout: Layout): Pixels {
  const { width, height, channels } = layout;
  return layout.interleaved ? { data, width, height, channels } : fromPlanes(data, layout);
}
