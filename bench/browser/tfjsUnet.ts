import * as tf from '@tensorflow/tfjs-core';
import { frequencies } from '../../src/onnx/embeddings.ts';
import { type StoredTensor, toFloat32, type UNetConfig } from '../../src/onnx/index.ts';

/** Noisy images [N, H, W, C], a timestep and labels [N] in, the prediction [N, H, W, C] out. */
export type TfjsUnet = (x: tf.Tensor4D, timestep: number, labels: tf.Tensor1D) => tf.Tensor4D;

/**
 * A UNet2DModel in the operators of tfjs, channels last as tfjs has them; each convolution with its bias in one call.
 * What the bundled model does not use is refused.
 */
export function tfjsUnet(config: UNetConfig, parameters: ReadonlyMap<string, StoredTensor>): TfjsUnet {
  const plain = config.resnetTimeScaleShift === 'default' && config.actFn === 'silu' && config.addAttention;
  const simple = config.timeEmbeddingType === 'positional' && config.downsamplePadding === 1 && config.numClassEmbeds;
  if (!plain || !simple) throw new Error('a network of other parts than the bundled model has');
  const net = new Net(config, parameters);
  const last = config.blockOutChannels.length - 1;

  return (sample, timestep, labels) =>
    tf.tidy(() => {
      const embedding = net.embed(timestep, labels);
      let x = net.conv('conv_in', sample);
      const skips = [x];
      for (const [level, type] of config.downBlockTypes.entries()) {
        const path = `down_blocks.${level}`;
        for (let j = 0; j < config.layersPerBlock; j++) {
          x = net.resnet(`${path}.resnets.${j}`, x, embedding);
          if (type === 'AttnDownBlock2D') x = net.attention(`${path}.attentions.${j}`, x);
          skips.push(x);
        }
        if (level === last) break;
        x = net.conv(`${path}.downsamplers.0.conv`, x, 2);
        skips.push(x);
      }
      x = net.resnet('mid_block.resnets.0', x, embedding);
      x = net.attention('mid_block.attentions.0', x);
      x = net.resnet('mid_block.resnets.1', x, embedding);
      for (const [level, type] of config.upBlockTypes.entries()) {
        const path = `up_blocks.${level}`;
        for (let j = 0; j <= config.layersPerBlock; j++) {
          x = net.resnet(`${path}.resnets.${j}`, tf.concat([x, skips.pop()!], 3), embedding);
          if (type === 'AttnUpBlock2D') x = net.attention(`${path}.attentions.${j}`, x);
        }
        if (level < last) x = net.conv(`${path}.upsamplers.0.conv`, twice(x));
      }
      return net.conv('conv_out', silu(net.groupNorm('conv_norm_out', x)));
    });
}

/** The layers by their names in the state_dict, their parameters turned to tfjs' order once. */
class Net {
  readonly #config: UNetConfig;
  readonly #tensors: ReadonlyMap<string, tf.Tensor>;

  constructor(config: UNetConfig, parameters: ReadonlyMap<string, StoredTensor>) {
    this.#config = config;
    this.#tensors = new Map(
      [...parameters].map(([name, stored]) => {
        const tensor = tf.tensor(toFloat32(stored), [...stored.shape]);
        // [out, in, h, w] to [h, w, in, out], [out, in] to [in, out]
        if (name.endsWith('.weight') && stored.shape.length === 4) return [name, tf.transpose(tensor, [2, 3, 1, 0])];
        const matrix = stored.shape.length === 2 && name !== 'class_embedding.weight';
        return [name, matrix ? tf.transpose(tensor) : tensor];
      }),
    );
  }

  conv(path: string, x: tf.Tensor4D, stride: 1 | 2 = 1): tf.Tensor4D {
    const filter = this.#get<tf.Tensor4D>(`${path}.weight`);
    // tfjs' 'same' pads below and to the right first, which a stride of 2 shows
    const pad = filter.shape[0] === 1 ? 'valid' : 1;
    return tf.fused.conv2d({ x, filter, strides: stride, pad, bias: this.#get(`${path}.bias`) });
  }

  groupNorm(path: string, x: tf.Tensor4D): tf.Tensor4D {
    const [n, h, w, c] = x.shape;
    const groups = this.#config.normNumGroups;
    const grouped = tf.reshape(x, [n, h * w, groups, c / groups]);
    const { mean, variance } = tf.moments(grouped, [1, 3], true);
    const unit = tf.mul(tf.sub(grouped, mean), tf.rsqrt(tf.add(variance, this.#config.normEps)));
    const normal = tf.reshape(unit, x.shape);
    return tf.add(tf.mul(normal, this.#get(`${path}.weight`)), this.#get(`${path}.bias`));
  }

  resnet(path: string, x: tf.Tensor4D, embedding: tf.Tensor2D): tf.Tensor4D {
    const h = this.conv(`${path}.conv1`, silu(this.groupNorm(`${path}.norm1`, x)));
    const shift = this.linear(`${path}.time_emb_proj`, embedding);
    const shifted = tf.add<tf.Tensor4D>(h, tf.reshape(shift, [shift.shape[0], 1, 1, shift.shape[1]]));
    const out = this.conv(`${path}.conv2`, silu(this.groupNorm(`${path}.norm2`, shifted)));
    const skip = this.#tensors.has(`${path}.conv_shortcut.weight`) ? this.conv(`${path}.conv_shortcut`, x) : x;
    return tf.add(skip, out);
  }

  attention(path: string, x: tf.Tensor4D): tf.Tensor4D {
    const [n, h, w, c] = x.shape;
    const heads = c / (this.#config.attentionHeadDim ?? c);
    const normal = tf.reshape(this.groupNorm(`${path}.group_norm`, x), [n * h * w, c]) as tf.Tensor2D;
    const split = (name: string) =>
      tf.transpose(tf.reshape(this.linear(`${path}.${name}`, normal), [n, h * w, heads, c / heads]), [0, 2, 1, 3]);
    const query = tf.mul(split('to_q'), Math.sqrt(heads / c));
    const weights = tf.softmax(tf.matMul(query, split('to_k'), false, true));
    const mixed = tf.transpose(tf.matMul(weights, split('to_v')), [0, 2, 1, 3]);
    const out = this.linear(`${path}.to_out.0`, tf.reshape(mixed, [n * h * w, c]));
    return tf.add(tf.reshape(out, x.shape), x);
  }

  linear(path: string, a: tf.Tensor2D): tf.Tensor2D {
    const bias = this.#get(`${path}.bias`);
    const b = this.#get<tf.Tensor2D>(`${path}.weight`);
    return tf.fused.matMul({ a, b, transposeA: false, transposeB: false, bias }) as tf.Tensor2D;
  }

  /** What conditions every residual block, activated: of the timestep and the class. */
  embed(timestep: number, labels: tf.Tensor1D): tf.Tensor2D {
    const { blockOutChannels, freqShift, flipSinToCos } = this.#config;
    const angles = Array.from(frequencies(blockOutChannels[0] / 2, freqShift), (f) => Math.fround(f * timestep));
    const waves = [angles.map(Math.sin), angles.map(Math.cos)];
    const row = tf.tensor2d([(flipSinToCos ? waves.reverse() : waves).flat()]);
    const time = this.linear('time_embedding.linear_2', silu(this.linear('time_embedding.linear_1', row)));
    const labelled = tf.gather(this.#get<tf.Tensor2D>('class_embedding.weight'), labels);
    return silu(tf.add<tf.Tensor2D>(time, labelled));
  }

  #get<T extends tf.Tensor>(name: string): T {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`no parameter ${name}`);
    return tensor as T;
  }
}

function silu<T extends tf.Tensor>(x: T): T {
  return tf.mul(x, tf.sigmoid(x));
}

function twice(x: tf.Tensor4D): tf.Tensor4D {
  return tf.image.resizeNearestNeighbor(x, [2 * x.shape[1], 2 * x.shape[2]]);
}
