import { assertOneOf } from '../core/assert.ts';
import { DdpmError } from '../core/errors.ts';
import type { UNetConfig } from '../core/unetConfig.ts';
import { downBlock, midBlock, upBlock } from './blocks.ts';
import { conditionEmbedding, isClassConditional } from './embeddings.ts';
import { GraphBuilder, type Value } from './graph.ts';
import { type FeatureMap, Layers } from './layers.ts';
import { CheckpointParameters, WEIGHT_TYPES, type WeightType } from './parameters.ts';
import type { StoredTensor } from './safetensors.ts';

/** A UNet2DModel as an ONNX file, and what a caller needs to know of it. */
export interface UNetModel {
  /** The ONNX file. */
  readonly bytes: Uint8Array;
  /** Channels, height and width of the images. */
  readonly shape: readonly [number, number, number];
  /** Channels of the prediction: twice the images' where the network predicts variances too. */
  readonly outChannels: number;
  /** Whether the network takes `class_labels`. */
  readonly conditional: boolean;
  /** How many classes it knows; null where it takes none, or embeds any label as it does timesteps. */
  readonly classes: number | null;
  /** What was assumed or left out. */
  readonly notes: string[];
}

/** How `buildUNet` writes a network. */
export interface UNetOptions {
  /** How weights are stored: float16 halves the file and computes in float32 all the same; `fp32` by default. */
  readonly dtype?: WeightType;
  /** What messages call the weights. */
  readonly file?: string;
}

/**
 * A diffusers UNet2DModel as an ONNX graph: opset 17, ai.onnx operators only.
 *
 * Inputs are `sample` float32 [N, C, H, W], `timestep` float32 [N] and, for a class-conditional network,
 * `class_labels` int64 [N]; the output is `out_sample` [N, outChannels, H, W]. N is free, H and W are the config's.
 * The same config and weights give the same bytes.
 *
 * @throws DdpmError `model-invalid` for weights that are missing or of another shape than the config asks for,
 * `config-invalid` for a config without an image size, `out-of-memory` past the 2 GiB of an ONNX file
 */
export function buildUNet(
  config: UNetConfig,
  weights: ReadonlyMap<string, StoredTensor>,
  { dtype = 'fp32', file = 'weights' }: UNetOptions = {},
): UNetModel {
  assertOneOf(dtype, 'dtype', WEIGHT_TYPES);
  const { inChannels, outChannels, sampleSize } = config;
  if (sampleSize === null) {
    throw new DdpmError('config-invalid', 'config.json: "sample_size" expected an image size, got null');
  }
  const shape = [inChannels, ...sampleSize] as const;

  const g = new GraphBuilder('UNet2DModel');
  const parameters = new CheckpointParameters(g, weights, dtype, file);
  const sample = g.input('sample', 'float32', ['N', ...shape]);
  const timestep = g.input('timestep', 'float32', ['N']);
  const conditional = isClassConditional(config);
  const classLabels = conditional ? g.input('class_labels', 'int64', ['N']) : undefined;
  const result = unetForward(new Layers(g, parameters, config), { sample, timestep, classLabels });
  g.output('out_sample', 'float32', ['N', outChannels, ...sampleSize], result.value);
  parameters.noteUnused();

  const classes = config.classEmbedType === null ? config.numClassEmbeds : null;
  return { bytes: g.toBytes(), shape, outChannels, conditional, classes, notes: parameters.notes };
}

/** The network itself, for graphs that are more than it: the prediction, as a value of the layers' graph. */
export function unetForward(
  net: Layers,
  { sample, timestep, classLabels }: { sample: Value; timestep: Value; classLabels?: Value },
): FeatureMap {
  const { g, config } = net;
  const { blockOutChannels } = config;
  const [height, width] = config.sampleSize ?? [0, 0];
  const context = { net, embedding: conditionEmbedding(net, timestep, classLabels) };

  const input = { value: centred(net, sample), channels: config.inChannels, height, width };
  let x = net.conv('conv_in', input, blockOutChannels[0]);
  const skips = [x];
  for (const level of blockOutChannels.keys()) x = downBlock(context, level, x, skips);
  if (config.midBlockType !== null) x = midBlock(context, x);
  for (const level of blockOutChannels.keys()) x = upBlock(context, level, x, skips);

  // silu here, whatever the blocks use
  const normal = net.groupNorm('conv_norm_out', x);
  const out = net.conv('conv_out', { ...normal, value: net.activate(normal.value, 'silu') }, config.outChannels);
  if (config.timeEmbeddingType !== 'fourier') return out;

  // Fourier networks are conditioned on a noise level, and predict the noise over it
  const level = g.op('Unsqueeze', [timestep, g.intVector([1, 2, 3])]);
  return { ...out, value: g.op('Div', [out.value, level]) };
}

/**
 * The names and shapes of a network's parameters, in the order in which the network meets them.
 *
 * @param has whether there is a parameter of that name, where the config leaves it open: the norm of the middle
 * attention with `scale_shift`, which older versions of diffusers had; nothing of the kind by default
 */
export function unetParameters(
  config: UNetConfig,
  has: (key: string) => boolean = () => false,
): Map<string, readonly number[]> {
  const g = new GraphBuilder('parameters');
  const shapes = new Map<string, readonly number[]>();
  const get = (key: string, shape: readonly number[]) => {
    shapes.set(key, shape);
    return g.input(key, 'float32', shape);
  };
  const [sample, timestep] = ['sample', 'timestep'].map((name) => g.input(name, 'float32', ['N']));
  const classLabels = isClassConditional(config) ? g.input('class_labels', 'int64', ['N']) : undefined;
  unetForward(new Layers(g, { has, get }, config), { sample, timestep, classLabels });
  return shapes;
}

function centred({ g, config }: Layers, sample: Value): Value {
  if (!config.centerInputSample) return sample;
  return g.op('Sub', [g.op('Mul', [sample, g.scalar(2)]), g.scalar(1)]);
}
