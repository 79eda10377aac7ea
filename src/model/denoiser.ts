import type { Tensor as OrtTensor } from 'onnxruntime-web';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { DdpmError, show, wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, type Tensor } from '../core/tensor.ts';
import { callSession, floatsOf } from './call.ts';
import { chunksOf, imageTensor, numberTensor } from './feeds.ts';
import type { Network } from './network.ts';
import type { Signature } from './signature.ts';
import type { SessionDenoiser } from './types.ts';

/** A session as a Denoiser: checks, splits into network calls, and writes the predictions side by side. */
export function denoiserOf(network: Network): SessionDenoiser {
  const notes = [...network.notes];
  let { outChannels } = network.shape;
  const denoise = async (...[x, timesteps, condition, options]: Parameters<Denoiser>): Promise<Tensor> => {
    const labels = checkArguments(network, x, timesteps, condition);
    noteRounding(network.signature, timesteps, notes);
    const [count, ...size] = x.shape;
    outChannels ??= await trialChannels(network, size);
    const shape = [count, outChannels!, size[1], size[2]];
    if (options?.out) assertTensor(options.out, 'out', shape);
    const out = options?.out ?? { data: new Float32Array(shape.reduce((a, b) => a * b)), shape };
    for (const chunk of chunksOf(network, timesteps, labels))
      await runChunk(network, { x, timesteps, labels, out }, chunk);
    return out;
  };
  const { session, shape, device, signature } = network;
  const labelInput = signature.label?.name;
  let released: Promise<void> | undefined;
  const dispose = () => {
    released ??= session.release();
    return released;
  };
  return Object.assign(denoise, { shape, labelInput, network, device, notes, dispose });
}

/** How many channels the network predicts, by a trial run on one image; undefined while its size is not known. */
export async function trialChannels(network: Network, size?: readonly number[]): Promise<number | undefined> {
  const { channels, height, width } = network.shape;
  const shape = [1, ...(size ?? [channels, height, width])] as number[];
  if (shape.some((n) => n === undefined)) return undefined;
  const x = { data: new Float32Array(shape.reduce((a, b) => a * b)), shape };
  const labels = network.signature.label && [0];
  const result = await callSession(network, {
    feeds: feedsOf(network, { x, timesteps: [0], labels }, { begin: 0, end: 1 }),
    output: network.signature.output.name,
  });
  const predicted = result.dims[1];
  if (predicted !== shape[1] && predicted !== 2 * shape[1])
    throw new DdpmError(
      'model-invalid',
      `expected a prediction of ${shape[1]} or ${2 * shape[1]} channels, got ${predicted}`,
    );
  return predicted;
}

interface Batch {
  readonly x: Tensor;
  readonly timesteps: ArrayLike<number>;
  readonly labels: ArrayLike<number> | undefined;
}

interface Chunk {
  readonly begin: number;
  readonly end: number;
}

/** One network call, for images begin..end-1 of the batch. */
async function runChunk(network: Network, batch: Batch & { out: Tensor }, chunk: Chunk): Promise<void> {
  const { ort, signature, zeroCopy } = network;
  const feeds = feedsOf(network, batch, chunk);
  const count = feeds[signature.image.name].dims[0];
  const stride = batch.out.data.length / batch.out.shape[0];
  const part = batch.out.data.subarray(chunk.begin * stride, chunk.end * stride);
  const dims = [count, ...batch.out.shape.slice(1)];

  // straight into the caller's memory where onnxruntime can: not padded, not shared, float32
  const direct = zeroCopy && count === chunk.end - chunk.begin && signature.output.type === 'float32' && isPlain(part);
  const result = await callSession(network, {
    feeds,
    output: signature.output.name,
    into: direct ? new ort.Tensor('float32', part, dims) : undefined,
  });
  if (result.dims.length !== 4 || result.dims.some((size, i) => size !== dims[i]))
    throw new DdpmError('network-failed', `the network expected to predict ${show(dims)}, got ${show(result.dims)}`);
  if (!direct) part.set(floatsOf(result).subarray(0, part.length));
}

function feedsOf(network: Network, { x, timesteps, labels }: Batch, { begin, end }: Chunk): Record<string, OrtTensor> {
  const { ort, signature } = network;
  const { image, time, label } = signature;
  const images = imageTensor(network, x, begin, end);
  const count = images.dims[0];
  const numbers = (port: typeof time, values: ArrayLike<number>) =>
    numberTensor(
      ort,
      port,
      Array.from({ length: count }, (_, i) => values[Math.min(begin + i, end - 1)]),
    );
  return {
    [image.name]: images,
    [time.name]: numbers(time, timesteps),
    ...(label && labels && { [label.name]: numbers(label, labels) }),
  };
}

/** Whether an array is over memory that onnxruntime accepts. */
function isPlain(array: Float32Array): array is Float32Array<ArrayBuffer> {
  return array.buffer instanceof ArrayBuffer;
}

/** Checks the arguments of a call against the network, and returns the labels for it. */
function checkArguments({ shape, signature }: Network, x: Tensor, timesteps: Float32Array, condition?: Condition) {
  assertTensor(x, 'x');
  const { channels, height, width } = shape;
  const expected = [x.shape[0], channels ?? x.shape[1], height ?? x.shape[2], width ?? x.shape[3]];
  assertTensor(x, 'x', expected);
  if (timesteps?.length !== x.shape[0]) throw wrongValue('timesteps', `${x.shape[0]} numbers`, timesteps?.length);
  const labels = condition?.classLabels;
  if (!signature.label) {
    if (labels) throw wrongValue('classLabels', 'none, as the network takes none', labels);
    return undefined;
  }
  if (!labels) throw wrongKind('classLabels', 'a label for each image', labels);
  if (labels.length !== x.shape[0]) throw wrongValue('classLabels', `${x.shape[0]} labels`, labels.length);
  const bad = Array.from(labels).find((label) => !Number.isInteger(label) || label < 0 || label >= 2 ** 31);
  if (bad !== undefined) throw wrongValue('classLabels', 'whole numbers', bad);
  return labels;
}

function noteRounding({ time }: Signature, timesteps: Float32Array, notes: string[]): void {
  const note = `timesteps are rounded to whole numbers: the network takes ${time.type}`;
  if (!time.type.startsWith('int') || notes.includes(note)) return;
  if (timesteps.some((t) => !Number.isInteger(t))) notes.push(note);
}
