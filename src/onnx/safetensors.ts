import { DdpmError, show, wrongValue } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import { decodeHalf } from './half.ts';

/** Element types of the safetensors format, with their bytes an element. */
export const ITEM_SIZES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** The name of an element type in a safetensors header. */
export type StoredType = keyof typeof ITEM_SIZES;

/** A tensor as a file stores it: little-endian bytes in C order, often a view of the whole file. */
export interface StoredTensor {
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/**
 * The tensors of a safetensors file, by name, as views of `bytes`: nothing is copied.
 *
 * The header is not trusted: its length, types, shapes and offsets are checked against the file before anything else
 * is done with them, and offsets must cover the data without gap or overlap, as the format demands.
 *
 * @param name what messages call the file
 * @throws DdpmError `model-invalid`, naming the file, the tensor, what was expected and what came
 */
export function readSafetensors(bytes: Uint8Array, name = 'model.safetensors'): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const [key, { dtype, shape, begin, end }] of safetensorsLayout(bytes, bytes.length, name))
    tensors.set(key, { dtype, shape, data: bytes.subarray(begin, end) });
  return tensors;
}

/** Where a tensor lies in a file: from byte `begin` to before `end`. */
export interface TensorPlace extends Omit<StoredTensor, 'data'> {
  readonly begin: number;
  readonly end: number;
}

/**
 * Where the tensors of a safetensors file of `size` bytes lie, checked as `readSafetensors` does.
 *
 * @param head the beginning of the file: its first 8 bytes, and as many more as these say, are enough
 * @throws DdpmError `model-invalid`
 */
export function safetensorsLayout(head: Uint8Array, size: number, name: string): Map<string, TensorPlace> {
  const { header, dataStart } = readHeader(head, name);
  const places = new Map<string, TensorPlace>();
  for (const [key, entry] of Object.entries(header)) {
    if (key === '__metadata__') continue;
    const { dtype, shape, begin, end } = checkEntry(entry, `${name}: tensor ${show(key)}`, size - dataStart);
    places.set(key, { dtype, shape, begin: dataStart + begin, end: dataStart + end });
  }

  // side by side: a gap or an overlap is a damaged file
  let end = dataStart;
  for (const [key, place] of [...places].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (place.begin !== end)
      throw invalid(`${name}: tensor ${show(key)}`, `data from byte ${end - dataStart}`, place.begin - dataStart);
    end = place.end;
  }
  if (end !== size) throw invalid(name, `${end - dataStart} bytes of data`, size - dataStart);
  return places;
}

/**
 * What a safetensors file says of itself: the texts of its `__metadata__`, by their keys; none where it has none.
 *
 * @throws DdpmError `model-invalid` for a damaged header, or metadata that are no texts
 */
export function safetensorsMetadata(bytes: Uint8Array, name: string): ReadonlyMap<string, string> {
  const { __metadata__: metadata = {} } = readHeader(bytes, name).header;
  const what = `${name}: "__metadata__"`;
  if (!isObject(metadata)) throw invalid(what, 'an object', show(metadata));
  const texts = Object.entries(metadata).map(([key, value]) => {
    if (typeof value !== 'string') throw invalid(`${what}: ${show(key)}`, 'a text', show(value));
    return [key, value] as const;
  });
  return new Map(texts);
}

/** A tensor as a file stores it; float32 numbers are not copied. */
export function asStored(tensor: Tensor | StoredTensor): StoredTensor {
  if ('dtype' in tensor) return tensor;
  const { data, shape } = tensor;
  return { dtype: 'F32', shape, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/**
 * The values of a stored tensor as float32: a view where they are aligned float32 already, else a copy. Values that
 * float32 cannot hold are rounded to nearest.
 *
 * @throws DdpmError `model-invalid` for 8-bit floats
 */
export function toFloat32({ dtype, data }: StoredTensor): Float32Array {
  const aligned = data.byteOffset % ITEM_SIZES[dtype] === 0 ? data : new Uint8Array(data);
  const { buffer, byteOffset, byteLength } = aligned;
  const length = byteLength / ITEM_SIZES[dtype];
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, length);
    case 'F16':
      return decodeHalf(new Uint16Array(buffer, byteOffset, length));
    case 'BF16':
      return widenBrain(new Uint16Array(buffer, byteOffset, length));
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, length));
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, length), Number);
    case 'U64':
      return Float32Array.from(new BigUint64Array(buffer, byteOffset, length), Number);
    case 'I32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, length));
    case 'U32':
      return Float32Array.from(new Uint32Array(buffer, byteOffset, length));
    case 'I16':
      return Float32Array.from(new Int16Array(buffer, byteOffset, length));
    case 'U16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, length));
    case 'I8':
      return Float32Array.from(new Int8Array(buffer, byteOffset, length));
    case 'U8':
    case 'BOOL':
      return Float32Array.from(aligned);
    default:
      throw new DdpmError('model-invalid', `tensor data expected a type that converts to float32, got ${dtype}`);
  }
}

/**
 * A safetensors file: the same tensors give the same bytes, whatever their order. Float32 tensors of the package are
 * written as F32, stored tensors as they are; data starts at a multiple of 8 bytes, and wider types come first, so
 * every tensor lies aligned.
 *
 * @throws RangeError for data that does not fit its shape
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, Tensor | StoredTensor>> | ReadonlyMap<string, Tensor | StoredTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = [...(tensors instanceof Map ? tensors : Object.entries(tensors))]
    .map(([key, tensor]) => ({ key, tensor: stored(key, tensor) }))
    .sort((a, b) => ITEM_SIZES[b.tensor.dtype] - ITEM_SIZES[a.tensor.dtype] || (a.key < b.key ? -1 : 1));

  const header = new Map<string, unknown>();
  if (metadata) header.set('__metadata__', Object.fromEntries(Object.entries(metadata).sort(byName)));
  let offset = 0;
  for (const { key, tensor } of entries) {
    const { dtype, shape, data } = tensor;
    header.set(key, { dtype, shape, data_offsets: [offset, offset + data.length] });
    offset += data.length;
  }

  const text = new TextEncoder().encode(jsonObject(header));
  const dataStart = Math.ceil((8 + text.length) / 8) * 8;
  const file = new Uint8Array(dataStart + offset).fill(0x20, 8, dataStart);
  new DataView(file.buffer).setBigUint64(0, BigInt(dataStart - 8), true);
  file.set(text, 8);
  offset = dataStart;
  for (const { tensor } of entries) {
    file.set(tensor.data, offset);
    offset += tensor.data.length;
  }
  return file;
}

// a checkpoint of 10,000 tensors has a header of about 1 MB; the format's own limit is 100 MB
const MAX_HEADER = 2 ** 24;
const MAX_RANK = 64;

function readHeader(bytes: Uint8Array, name: string): { header: Record<string, unknown>; dataStart: number } {
  if (isPickle(bytes)) {
    throw invalid(
      name,
      'a safetensors file',
      'a Python pickle, which is not read: save it with safe_serialization=True',
    );
  }
  if (bytes.length < 8) throw invalid(name, 'at least 8 bytes', bytes.length);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > MAX_HEADER) throw invalid(name, `a header of at most ${MAX_HEADER} bytes`, `${length}`);
  const dataStart = 8 + Number(length);
  if (dataStart > bytes.length) throw invalid(name, `a header of ${length} bytes`, `${bytes.length - 8} in a cut file`);

  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart));
    header = JSON.parse(text);
  } catch (cause) {
    throw new DdpmError('model-invalid', `${name}: the header expected JSON, got bytes that are not`, { cause });
  }
  if (!isObject(header)) throw invalid(name, 'a JSON object as header', show(header));
  const twice = repeatedKey(text);
  if (twice !== undefined) throw invalid(name, 'each name once in the header', `${show(twice)} twice`);
  return { header, dataStart };
}

// a bare pickle starts with its protocol, torch's newer files are zip archives of one
function isPickle(bytes: Uint8Array): boolean {
  return (bytes[0] === 0x80 && bytes[8] !== 0x7b) || (bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3);
}

function checkEntry(entry: unknown, what: string, available: number) {
  if (!isObject(entry)) throw invalid(what, '{ dtype, shape, data_offsets }', show(entry));
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(ITEM_SIZES, dtype)) {
    throw invalid(what, `a dtype among ${Object.keys(ITEM_SIZES).join(', ')}`, show(dtype));
  }
  if (!isList(shape) || shape.length > MAX_RANK) throw invalid(what, 'a shape of whole numbers', show(shape));
  if (!isList(offsets) || offsets.length !== 2) throw invalid(what, 'two data offsets', show(offsets));
  const [begin, end] = offsets;
  if (begin > end || end > available) throw invalid(what, `data within ${available} bytes`, show(offsets));
  const bytes = sizeOf(shape) * ITEM_SIZES[dtype as StoredType];
  if (bytes !== end - begin) throw invalid(what, `${bytes} bytes for ${dtype} ${show(shape)}`, end - begin);
  return { dtype: dtype as StoredType, shape, begin, end };
}

// JSON.parse keeps the last of two equal keys in silence; the text is known to be valid JSON here
function repeatedKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  let last = '';
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}:]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token === ':') {
      const key: string = JSON.parse(last);
      const keys = open[open.length - 1];
      if (keys.has(key)) return key;
      keys.add(key);
    } else last = token;
  }
  return undefined;
}

function stored(key: string, tensor: Tensor | StoredTensor): StoredTensor {
  if (key === '__metadata__') throw wrongValue('tensors', 'another name for a tensor', key);
  const { dtype, shape, data } = asStored(tensor);
  const expected = sizeOf(shape) * ITEM_SIZES[dtype];
  if (data.length !== expected) throw wrongValue(key, `${expected} bytes for ${show(shape)}`, data.length);
  return { dtype, shape, data };
}

// an object literal would put keys that look like numbers first
function jsonObject(entries: Map<string, unknown>): string {
  return `{${Array.from(entries, ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}

function byName([a]: [string, string], [b]: [string, string]): number {
  return a < b ? -1 : 1;
}

function widenBrain(values: Uint16Array): Float32Array {
  const bits = new Uint32Array(values.length);
  for (let i = 0; i < values.length; i++) bits[i] = values[i] << 16;
  return new Float32Array(bits.buffer);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

// `got` is text of ours or passed through show
function invalid(what: string, expected: string, got: string | number): DdpmError {
  return new DdpmError('model-invalid', `${what} expected ${expected}, got ${got}`);
}
