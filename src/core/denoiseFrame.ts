// What goes between a Denoiser and a network elsewhere: one MessagePack map each way, its numbers raw.
import { wrongKind, wrongValue } from './errors.ts';
import { decodeMsgpack, encodeMsgpack } from './msgpack.ts';
import { assertShape, sizeOf, type Tensor } from './tensor.ts';

/** The media type of both frames. */
export const frameType = 'application/vnd.msgpack';

/** A network call: the arguments of a Denoiser. */
export interface Question {
  readonly x: Tensor;
  readonly timesteps: Float32Array;
  readonly classLabels?: readonly number[];
}

/** `{ x: { data, shape }, timesteps, classLabels }`, where data and timesteps are float32, little-endian. */
export function encodeQuestion({ x, timesteps, classLabels }: Question): Uint8Array<ArrayBuffer> {
  return encodeMsgpack({ x, timesteps, classLabels }, questionBytes(x.shape));
}

/** The most bytes that a question about images [N,C,H,W] takes. */
export function questionBytes(shape: readonly number[]): number {
  return 4 * sizeOf(shape) + 9 * shape[0] + frameBytes;
}

/** The most bytes that an answer of such a shape takes. */
export function answerBytes(shape: readonly number[]): number {
  return 4 * sizeOf(shape) + frameBytes;
}

// names, lengths and shapes; a timestep and a label take 9 bytes at most
const frameBytes = 256;

/**
 * The question in a frame, in memory of its own.
 *
 * @throws TypeError or RangeError naming the part that is none
 */
export function decodeQuestion(bytes: Uint8Array): Question {
  const { x, timesteps, classLabels } = decodeMap(bytes, 'body', ['x', 'timesteps', 'classLabels']);
  const question = { x: tensorOf(x, 'x'), timesteps: floatsOf(timesteps, 'timesteps') };
  if (classLabels === undefined) return question;
  if (!Array.isArray(classLabels)) throw wrongKind('classLabels', 'a list of integers', classLabels);
  return { ...question, classLabels };
}

/** `{ data, shape }`, as a question has its images. */
export function encodeAnswer({ data, shape }: Tensor): Uint8Array<ArrayBuffer> {
  return encodeMsgpack({ data, shape }, answerBytes(shape));
}

/** The prediction in a frame, in memory of its own. @throws TypeError or RangeError naming the part that is none */
export function decodeAnswer(bytes: Uint8Array): Tensor {
  return tensorOf(decodeMap(bytes, 'answer', ['data', 'shape']), 'answer');
}

function decodeMap(bytes: Uint8Array, name: string, keys: readonly string[]): Record<string, unknown> {
  let value: unknown;
  try {
    value = decodeMsgpack(bytes);
  } catch (error) {
    throw wrongValue(name, 'MessagePack', (error as Error).message);
  }
  return mapOf(value, name, keys);
}

function mapOf(value: unknown, name: string, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw wrongKind(name, `a map of ${keys.join(', ')}`, value);
  const odd = Object.keys(value).find((key) => !keys.includes(key));
  if (odd !== undefined) throw wrongValue(name, `a map of ${keys.join(', ')}`, odd);
  return value as Record<string, unknown>;
}

function tensorOf(value: unknown, name: string): Tensor {
  const { data, shape } = mapOf(value, name, ['data', 'shape']);
  assertShape(shape, `${name}.shape`, 4);
  const floats = floatsOf(data, `${name}.data`);
  if (floats.length !== sizeOf(shape))
    throw wrongValue(`${name}.data`, `${sizeOf(shape)} numbers for shape ${JSON.stringify(shape)}`, floats.length);
  return { data: floats, shape };
}

/** A frame has them anywhere, and float32 arrays begin at multiples of 4. */
function floatsOf(value: unknown, name: string): Float32Array {
  if (!(value instanceof Uint8Array)) throw wrongKind(name, 'binary', value);
  if (value.length % 4 !== 0) throw wrongValue(name, 'whole float32 numbers', `${value.length} bytes`);
  return new Float32Array(value.slice().buffer);
}
