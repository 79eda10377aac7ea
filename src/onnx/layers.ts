import type { UNetConfig } from '../core/unetConfig.ts';
import { float, type GraphBuilder, type Value } from './graph.ts';
import type { ParameterSource } from './parameters.ts';

/** A value of shape [N, channels, height, width]. */
export interface FeatureMap {
  readonly value: Value;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** A scale and a shift [N, C, 1, 1] that a time embedding gives to a normalised feature map. */
export interface Modulation {
  readonly scale: Value;
  readonly shift: Value;
}

/**
 * The layers of torch.nn that a UNet2DModel has, as operators of ai.onnx. A layer's first argument is its name in the
 * state_dict, which names its parameters and its operator.
 */
export class Layers {
  constructor(
    readonly g: GraphBuilder,
    readonly parameters: ParameterSource,
    readonly config: UNetConfig,
  ) {}

  /** A convolution with bias: 3x3 with padding 1 unless told otherwise. */
  conv(
    path: string,
    x: FeatureMap,
    outChannels: number,
    { kernel = 3, stride = 1, pads = [1, 1, 1, 1] }: { kernel?: 1 | 3; stride?: 1 | 2; pads?: readonly number[] } = {},
  ): FeatureMap {
    const weight = this.parameters.get(`${path}.weight`, [outChannels, x.channels, kernel, kernel]);
    const bias = this.parameters.get(`${path}.bias`, [outChannels]);
    const attributes = { kernel_shape: [kernel, kernel], pads, strides: [stride, stride] };
    const value = this.g.op('Conv', [x.value, weight, bias], attributes, path);
    return { value, channels: outChannels, height: x.height / stride, width: x.width / stride };
  }

  /** A linear layer on the channels of every pixel, which is a 1x1 convolution: no transposing. */
  pointwise(path: string, x: FeatureMap, outChannels: number): FeatureMap {
    const shape = [outChannels, x.channels];
    const weight = this.parameters.get(`${path}.weight`, shape, [...shape, 1, 1]);
    const bias = this.parameters.get(`${path}.bias`, [outChannels]);
    return {
      ...x,
      value: this.g.op('Conv', [x.value, weight, bias], { kernel_shape: [1, 1] }, path),
      channels: outChannels,
    };
  }

  /** A linear layer on [N, width]. */
  linear(path: string, x: Value, width: number, outWidth: number): Value {
    const weight = this.parameters.get(`${path}.weight`, [outWidth, width]);
    const bias = this.parameters.get(`${path}.bias`, [outWidth]);
    return this.g.op('Gemm', [x, weight, bias], { transB: 1 }, path);
  }

  /**
   * Group normalisation, and the time embedding's modulation of it. Instance normalisation over [N, groups, rest] is
   * the form that every backend computes itself. `h * (1 + scale) + shift` is folded into the norm's own weight and
   * bias, which are small, so that the feature map is passed over once.
   */
  groupNorm(path: string, x: FeatureMap, groups = this.config.normNumGroups, modulation?: Modulation): FeatureMap {
    const { g } = this;
    const { channels, height, width } = x;
    const grouped = g.op('Reshape', [x.value, g.intVector([0, groups, -1])]);
    const unit = [g.floatVector(Array(groups).fill(1)), g.floatVector(Array(groups).fill(0))];
    const normal = g.op('InstanceNormalization', [grouped, ...unit], { epsilon: float(this.config.normEps) }, path);
    const h = g.op('Reshape', [normal, g.intVector([0, channels, height, width])]);

    let weight = this.parameters.get(`${path}.weight`, [channels], [channels, 1, 1]);
    let bias = this.parameters.get(`${path}.bias`, [channels], [channels, 1, 1]);
    if (modulation) {
      const scale = g.op('Add', [modulation.scale, g.scalar(1)]);
      weight = g.op('Mul', [scale, weight]);
      bias = g.op('Add', [g.op('Mul', [scale, bias]), modulation.shift]);
    }
    return { ...x, value: g.op('Add', [g.op('Mul', [h, weight]), bias]) };
  }

  /** The activation function of the residual blocks, or the named one. */
  activate(x: Value, kind: UNetConfig['actFn'] = this.config.actFn): Value {
    const { g } = this;
    switch (kind) {
      case 'silu':
      case 'swish':
        return g.op('Mul', [x, g.op('Sigmoid', [x])]);
      case 'mish':
        return g.op('Mul', [x, g.op('Tanh', [g.op('Softplus', [x])])]);
      case 'gelu': {
        // x/2 (1 + erf(x / sqrt 2))
        const erf = g.op('Erf', [g.op('Mul', [x, g.scalar(Math.SQRT1_2)])]);
        return g.op('Mul', [g.op('Mul', [x, g.scalar(0.5)]), g.op('Add', [erf, g.scalar(1)])]);
      }
      case 'relu':
        return g.op('Relu', [x]);
    }
  }

  /** Doubles a feature map's height and width by repeating pixels. */
  nearest2x(x: FeatureMap): FeatureMap {
    const { g } = this;
    const scales = g.floatVector([1, 1, 2, 2]);
    const attributes = { coordinate_transformation_mode: 'asymmetric', mode: 'nearest', nearest_mode: 'floor' };
    const value = g.op('Resize', [x.value, '', scales], attributes);
    return { ...x, value, height: 2 * x.height, width: 2 * x.width };
  }

  /** Halves a feature map's height and width by averaging squares of four pixels. */
  average2x(x: FeatureMap): FeatureMap {
    const value = this.g.op('AveragePool', [x.value], { kernel_shape: [2, 2], strides: [2, 2] });
    return { ...x, value, height: x.height / 2, width: x.width / 2 };
  }

  /** The sum of two feature maps, over `scale`. */
  residual(x: FeatureMap, y: FeatureMap, scale: number): FeatureMap {
    const sum = this.g.op('Add', [x.value, y.value]);
    return { ...x, value: scale === 1 ? sum : this.g.op('Div', [sum, this.g.scalar(scale)]) };
  }
}
