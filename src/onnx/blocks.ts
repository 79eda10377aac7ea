import type { Value } from './graph.ts';
import type { FeatureMap, Layers, Modulation } from './layers.ts';

/** What the blocks share besides the layers: the activated condition embedding [N, timeEmbeddingDim]. */
export interface BlockContext {
  readonly net: Layers;
  readonly embedding: Value;
}

/** A down block: its result, which is also the last entry of `skips`, one for each layer and one for the shrunk. */
export function downBlock(context: BlockContext, level: number, input: FeatureMap, skips: FeatureMap[]): FeatureMap {
  const { config } = context.net;
  const path = `down_blocks.${level}`;
  const type = config.downBlockTypes[level];
  const channels = config.blockOutChannels[level];
  let x = input;
  for (let j = 0; j < config.layersPerBlock; j++) {
    x = resnet(context, `${path}.resnets.${j}`, x, channels);
    if (type === 'AttnDownBlock2D') x = attention(context, `${path}.attentions.${j}`, x);
    skips.push(x);
  }
  if (level === config.blockOutChannels.length - 1) return x;

  const byResnet = type === 'AttnDownBlock2D' ? config.downsampleType === 'resnet' : type === 'ResnetDownsampleBlock2D';
  x = byResnet
    ? resnet(context, `${path}.downsamplers.0`, x, channels, { resample: 'down' })
    : downsample(context, `${path}.downsamplers.0.conv`, x);
  skips.push(x);
  return x;
}

/** The middle block: residual, attention, residual. */
export function midBlock(context: BlockContext, input: FeatureMap): FeatureMap {
  const { config, parameters } = context.net;
  const scale = config.midBlockScaleFactor;
  let x = resnet(context, 'mid_block.resnets.0', input, input.channels, { scale });
  if (config.addAttention) {
    // with scale_shift the norm is left out unless its groups are given; older versions had it: the weights decide
    const path = 'mid_block.attentions.0';
    const normed =
      config.attnNormNumGroups !== null ||
      config.resnetTimeScaleShift === 'default' ||
      parameters.has(`${path}.group_norm.weight`);
    const groups = normed ? (config.attnNormNumGroups ?? config.normNumGroups) : null;
    x = attention(context, path, x, { groups, scale });
  }
  return resnet(context, 'mid_block.resnets.1', x, x.channels, { scale });
}

/** An up block, number `level` counted from the smallest images; takes its layers' inputs off the end of `skips`. */
export function upBlock(context: BlockContext, level: number, input: FeatureMap, skips: FeatureMap[]): FeatureMap {
  const { net } = context;
  const { config } = net;
  const path = `up_blocks.${level}`;
  const type = config.upBlockTypes[level];
  const last = config.blockOutChannels.length - 1;
  const channels = config.blockOutChannels[last - level];
  let x = input;
  for (let j = 0; j <= config.layersPerBlock; j++) {
    x = resnet(context, `${path}.resnets.${j}`, concat(context, x, skips.pop()!), channels);
    if (type === 'AttnUpBlock2D') x = attention(context, `${path}.attentions.${j}`, x);
  }
  if (level === last) return x;

  const byResnet = type === 'AttnUpBlock2D' ? config.upsampleType === 'resnet' : type === 'ResnetUpsampleBlock2D';
  return byResnet
    ? resnet(context, `${path}.upsamplers.0`, x, channels, { resample: 'up' })
    : net.conv(`${path}.upsamplers.0.conv`, net.nearest2x(x), channels);
}

/** A residual block; `resample` halves or doubles the image inside, on both ways. */
export function resnet(
  { net, embedding }: BlockContext,
  path: string,
  x: FeatureMap,
  outChannels: number,
  { scale = 1, resample }: { scale?: number; resample?: 'up' | 'down' } = {},
): FeatureMap {
  const { config } = net;
  const resize = (map: FeatureMap) =>
    resample === 'up' ? net.nearest2x(map) : resample === 'down' ? net.average2x(map) : map;

  let h = net.groupNorm(`${path}.norm1`, x);
  h = net.conv(`${path}.conv1`, resize({ ...h, value: net.activate(h.value) }), outChannels);

  if (config.resnetTimeScaleShift === 'scale_shift') {
    h = net.groupNorm(
      `${path}.norm2`,
      h,
      config.normNumGroups,
      modulation(net, `${path}.time_emb_proj`, embedding, outChannels),
    );
  } else {
    const shift = project(net, `${path}.time_emb_proj`, embedding, outChannels);
    h = net.groupNorm(`${path}.norm2`, { ...h, value: net.g.op('Add', [h.value, shift]) });
  }
  h = net.conv(`${path}.conv2`, { ...h, value: net.activate(h.value) }, outChannels);

  const resized = resize(x);
  const skip =
    x.channels === outChannels
      ? resized
      : net.conv(`${path}.conv_shortcut`, resized, outChannels, { kernel: 1, pads: [0, 0, 0, 0] });
  return net.residual(skip, h, scale);
}

/**
 * Self-attention over the pixels. Queries, keys and values are [N, heads, channels, pixels]: of the transposes only
 * those of queries and values are left, which onnxruntime takes into its matrix products.
 */
export function attention(
  { net }: BlockContext,
  path: string,
  x: FeatureMap,
  { groups = net.config.normNumGroups, scale = 1 }: { groups?: number | null; scale?: number } = {},
): FeatureMap {
  const { g, config } = net;
  const headDim = config.attentionHeadDim ?? x.channels;
  const heads = Math.floor(x.channels / headDim);
  const inner = heads * headDim;
  const normal = groups === null ? x : net.groupNorm(`${path}.group_norm`, x, groups);

  const split = g.intVector([0, heads, headDim, x.height * x.width]);
  const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) =>
    g.op('Reshape', [net.pointwise(`${path}.${name}`, normal, inner).value, split]),
  );
  const swap = { perm: [0, 1, 3, 2] };
  const query = g.op('Transpose', [g.op('Mul', [q, g.scalar(1 / Math.sqrt(headDim))])], swap);
  const weights = g.op('Softmax', [g.op('MatMul', [query, k])], { axis: -1 });
  const mixed = g.op('Transpose', [g.op('MatMul', [weights, g.op('Transpose', [v], swap)])], swap);
  const value = g.op('Reshape', [mixed, g.intVector([0, inner, x.height, x.width])]);
  return net.residual(net.pointwise(`${path}.to_out.0`, { ...x, value, channels: inner }, x.channels), x, scale);
}

function downsample({ net }: BlockContext, path: string, x: FeatureMap): FeatureMap {
  // padding 0 pads below and to the right only, so that the halves come out even
  const pads = net.config.downsamplePadding === 0 ? [0, 0, 1, 1] : [1, 1, 1, 1];
  return net.conv(path, x, x.channels, { stride: 2, pads });
}

function concat({ net }: BlockContext, x: FeatureMap, y: FeatureMap): FeatureMap {
  return { ...x, value: net.g.op('Concat', [x.value, y.value], { axis: 1 }), channels: x.channels + y.channels };
}

// [N, channels, 1, 1]
function project(net: Layers, path: string, embedding: Value, channels: number): Value {
  const projected = net.linear(path, embedding, net.config.timeEmbeddingDim, channels);
  return net.g.op('Unsqueeze', [projected, net.g.intVector([2, 3])]);
}

function modulation(net: Layers, path: string, embedding: Value, channels: number): Modulation {
  const [scale, shift] = net.g.ops('Split', [project(net, path, embedding, 2 * channels)], 2, { axis: 1 });
  return { scale, shift };
}
