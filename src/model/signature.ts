import type { InferenceSession } from 'onnxruntime-web';
import { DdpmError } from '../core/errors.ts';

/** A number of the graph, or undefined where it leaves it open. */
type Dimension = number | undefined;

/** An input or output of a graph. */
export interface Port {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly Dimension[];
}

/** Which input of a graph is what. */
export interface Signature {
  /** The noisy images, [N, C, H, W]. */
  readonly image: Port;
  /** The timesteps: a scalar, or one an image. */
  readonly time: Port;
  /** The class labels: a scalar, or one an image. */
  readonly label: Port | undefined;
  /** The prediction, [N, C or 2C, H, W]. */
  readonly output: Port;
  /** What was assumed; each one line. */
  readonly notes: readonly string[];
}

const imageNames = [
  'sample',
  'x',
  'x_t',
  'xt',
  'input',
  'inputs',
  'image',
  'images',
  'noisy_images',
  'latent',
  'latents',
];
const timeNames = ['timestep', 'timesteps', 't', 'ts', 'time', 'time_step', 'time_steps'];
const labelNames = ['class_labels', 'class_label', 'labels', 'label', 'y', 'class', 'classes', 'c'];
const outputNames = ['out_sample', 'output', 'out', 'eps', 'epsilon', 'noise', 'noise_pred', 'sample'];

const floatTypes = ['float32', 'float16'];
const timeTypes = ['float32', 'float16', 'float64', 'int64', 'int32'];
const labelTypes = ['int64', 'int32'];

/**
 * Finds images, timesteps and class labels among the inputs of a graph: by name, else by shape and type.
 *
 * @throws DdpmError `model-invalid`, naming the inputs seen, where that cannot be done.
 */
export function readSignature(session: Pick<InferenceSession, 'inputMetadata' | 'outputMetadata'>): Signature {
  const inputs = session.inputMetadata.map(portOf);
  const outputs = session.outputMetadata.map(portOf);
  const notes: string[] = [];
  const image = take(inputs, { names: imageNames, fits: isImage, meaning: 'the noisy images', notes });
  const named = takeNamed(inputs, labelNames, isLabel);
  const time = take(inputs, { names: timeNames, fits: isTime, meaning: 'the timesteps', notes });
  const label = named ?? take(inputs, { names: [], fits: isLabel, meaning: 'class labels', notes });
  const only = outputs.length === 1 && isImage(outputs[0]) ? outputs[0] : undefined;
  const output = only ?? take(outputs, { names: outputNames, fits: isImage, meaning: 'the prediction', notes });
  if (!image || !time || inputs.length > 0) throw unusable(session.inputMetadata.map(portOf), inputs);
  if (!output) throw new DdpmError('model-invalid', `expected an output [N, C, H, W], got ${list(outputs)}`);
  assertChannels(image, output);
  return { image, time, label, output, notes };
}

interface Wanted {
  readonly names: readonly string[];
  readonly fits: (port: Port) => boolean;
  readonly meaning: string;
  readonly notes: string[];
}

/** Takes the port of a known name out of a list, else the only one that fits; says so in the second case. */
function take(ports: Port[], { names, fits, meaning, notes }: Wanted): Port | undefined {
  const named = takeNamed(ports, names, fits);
  if (named) return named;
  const fitting = ports.filter(fits);
  // of a float and an integer both could be timesteps, but only the integer class labels
  const likely = fitting.length > 1 ? fitting.filter(({ type }) => floatTypes.includes(type)) : fitting;
  if (likely.length !== 1) return undefined;
  notes.push(`"${likely[0].name}" is taken for ${meaning}, by its shape and type`);
  return remove(ports, likely[0]);
}

function takeNamed(ports: Port[], names: readonly string[], fits: (port: Port) => boolean): Port | undefined {
  const byName = (name: string) => ports.find((port) => port.name.toLowerCase() === name && fits(port));
  const found = names.map(byName).find((port) => port !== undefined);
  return found && remove(ports, found);
}

function remove(ports: Port[], port: Port): Port {
  ports.splice(ports.indexOf(port), 1);
  return port;
}

function isImage({ type, dims }: Port): boolean {
  return floatTypes.includes(type) && dims.length === 4;
}

function isTime({ type, dims }: Port): boolean {
  return timeTypes.includes(type) && isColumn(dims);
}

function isLabel({ type, dims }: Port): boolean {
  return labelTypes.includes(type) && isColumn(dims);
}

/** Whether a shape holds one number an image or one for all: [], [N], [N, 1], [N, 1, 1, 1]. */
function isColumn(dims: readonly Dimension[]): boolean {
  return dims.slice(1).every((size) => size === 1);
}

function assertChannels(image: Port, output: Port): void {
  const [, given, ...size] = image.dims;
  const [, predicted, ...outSize] = output.dims;
  const misfit = (a: Dimension, b: Dimension) => a !== undefined && b !== undefined && a !== b;
  if ((misfit(predicted, given) && misfit(predicted, 2 * given!)) || size.some((n, i) => misfit(n, outSize[i])))
    throw new DdpmError(
      'model-invalid',
      `expected a prediction of the images' size with as many channels or twice, got ${show(image)} -> ${show(output)}`,
    );
}

function unusable(all: readonly Port[], rest: readonly Port[]): DdpmError {
  const extra = rest.length < all.length ? `; ${list(rest)} cannot be told` : '';
  const expected = 'images float [N, C, H, W], timesteps [N] or scalar, and at most class labels [N]';
  return new DdpmError('model-invalid', `expected inputs ${expected}, got ${list(all)}${extra}`);
}

/** Ports in few words, for messages. */
export function list(ports: readonly Port[]): string {
  return ports.length === 0 ? 'none' : ports.map(show).join(', ').slice(0, 400);
}

function show({ name, type, dims }: Port): string {
  return `"${name}" ${type} [${dims.map((size) => size ?? '?').join(', ')}]`;
}

/** What onnxruntime says about an input or output. */
export function portOf(meta: InferenceSession.ValueMetadata): Port {
  if (!meta.isTensor) return { name: meta.name, type: 'not a tensor', dims: [] };
  // a name, or nothing, stands for a size that is open
  const dims = meta.shape.map((size) => (typeof size === 'number' && size > 0 ? size : undefined));
  return { name: meta.name, type: meta.type, dims };
}
