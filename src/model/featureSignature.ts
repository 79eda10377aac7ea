import type { InferenceSession } from 'onnxruntime-web';
import { DdpmError } from '../core/errors.ts';
import { list, type Port, portOf } from './signature.ts';

/** Which input of a graph takes the images, and which output gives the features. */
export interface FeatureSignature {
  readonly image: Port;
  /** Whether images go in as [N, H, W, C], as TensorFlow has them; maps may come out so too. */
  readonly channelsLast: boolean;
  /** Channels, and the height and width where the graph fixes them. */
  readonly shape: readonly [channels: number, height: number | undefined, width: number | undefined];
  /** [N, D], or [N, D, h, w], of which the mean over the positions is taken. */
  readonly output: Port;
  /** Images a call, where the graph takes no other number. */
  readonly fixedBatch: number | undefined;
  /** What was assumed; each one line. */
  readonly notes: readonly string[];
}

const imageTypes = ['float32', 'float16', 'uint8'];
const featureTypes = ['float32', 'float16', 'float64'];
const featureName = /feature|pool|embed/i;
// an image of 4096 x 4096 grey pixels; what a graph asks for beyond that is damage or malice
const mostPixels = 2 ** 24;

/**
 * Finds the image input, the only one of four axes, and the features: the output of the name given, or one named after
 * features, pooling or embedding, or the first of two axes, or of four whose last two are 1.
 *
 * @throws DdpmError `model-invalid`, naming the inputs or outputs seen.
 */
export function readFeatureSignature(
  session: Pick<InferenceSession, 'inputMetadata' | 'outputMetadata'>,
  wanted: string | undefined,
): FeatureSignature {
  const inputs = session.inputMetadata.map(portOf);
  const outputs = session.outputMetadata.map(portOf);
  const [image, ...others] = inputs;
  if (!image || others.length > 0 || image.dims.length !== 4 || !imageTypes.includes(image.type))
    throw invalid(`one input of images, float or uint8 [N, C, H, W], got ${list(inputs)}`);
  const notes: string[] = [];
  const channelsLast = isColour(image.dims[3]) && !isColour(image.dims[1]);
  if (channelsLast) notes.push(`"${image.name}" is taken for [N, H, W, C], by its shape`);
  const output =
    wanted === undefined ? choose(outputs, channelsLast, notes) : outputs.find(({ name }) => name === wanted);
  if (!output || !isFeatures(output))
    throw invalid(`an output of features, float [N, D] or [N, D, h, w], got ${list(outputs)}`);
  return {
    image,
    channelsLast,
    shape: shapeOf(image, channelsLast, notes),
    output,
    fixedBatch: image.dims[0] ?? output.dims[0],
    notes,
  };
}

function choose(outputs: readonly Port[], channelsLast: boolean, notes: string[]): Port | undefined {
  const ones = (...sizes: (number | undefined)[]) => sizes.every((size) => size === undefined || size === 1);
  const pooled = ({ dims }: Port) =>
    dims.length === 2 || ones(dims[2], dims[3]) || (channelsLast && ones(dims[1], dims[2]));
  const fitting = outputs.filter((port) => isFeatures(port) && pooled(port));
  const named = fitting.find(({ name }) => featureName.test(name));
  const chosen = named ?? fitting[0];
  if (chosen && !named) notes.push(`output "${chosen.name}" is taken for the features, by its shape`);
  return chosen;
}

function isFeatures({ type, dims }: Port): boolean {
  return featureTypes.includes(type) && (dims.length === 2 || dims.length === 4);
}

function isColour(size: number | undefined): boolean {
  return size === 1 || size === 3;
}

function shapeOf({ name, dims }: Port, channelsLast: boolean, notes: string[]): FeatureSignature['shape'] {
  const [channels, height, width] = channelsLast ? [dims[3], dims[1], dims[2]] : [dims[1], dims[2], dims[3]];
  if (channels === undefined) notes.push(`"${name}" leaves its channels open: 3 are taken`);
  if ((channels ?? 3) * (height ?? 1) * (width ?? 1) * (dims[0] ?? 1) > mostPixels)
    throw invalid(`images of at most ${mostPixels} values, got ${list([{ name, type: 'images', dims }])}`);
  return [channels ?? 3, height, width];
}

function invalid(expected: string): DdpmError {
  return new DdpmError('model-invalid', `expected ${expected}`);
}
