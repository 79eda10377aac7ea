import { assertInteger, assertKeys, assertNumber, assertOneOf } from '../core/assert.ts';
import { wrongValue } from '../core/errors.ts';
import { type PredictionType, predictionTypes } from '../core/schedulerConfig.ts';
import { sizeOf } from '../core/tensor.ts';
import type { UNetConfig } from '../core/unetConfig.ts';
import { isClassConditional } from '../onnx/embeddings.ts';
import { gradients } from '../onnx/gradients.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import { Layers } from '../onnx/layers.ts';
import { type ParameterSource, VectorParameters } from '../onnx/parameters.ts';
import { Shapes } from '../onnx/shapes.ts';
import { arithmetic } from '../onnx/step.ts';
import { unetForward } from '../onnx/unet2d.ts';
import { boundTerms, type Columns } from './boundGraph.ts';
import { COEFFICIENTS } from './coefficients.ts';

/** What a `lossGraph` computes. */
export interface LossGraphOptions {
  readonly network: UNetConfig;
  readonly loss: LossKind;
  /** How many images the graph takes. */
  readonly images: number;
  /**
   * How many images the optimizer's step sees, over all workers and accumulations: each one's loss is divided by it, so that
   * losses and gradients of parts add up to the whole's.
   */
  readonly divisor: number;
  /** Names and shapes of what is trained, in the order of the vector of parameters. */
  readonly trained: ReadonlyMap<string, readonly number[]>;
  /**
   * Where the network's parameters come from, `trained` itself by default: some may be constants of the graph, or made of
   * constants and what is trained.
   */
  readonly parameters?: (g: GraphBuilder, trained: VectorParameters) => ParameterSource;
}

/** The loss of a training config, as far as the graph depends on it; the rest is in the coefficients. */
export interface LossKind {
  readonly prediction: PredictionType;
  readonly variance: 'fixed' | 'learned';
  /** What the bound counts for where the variance is learned. */
  readonly varianceWeight: number;
}

/** A graph as an ONNX file, and the names of its inputs. */
export interface LossGraph {
  readonly bytes: Uint8Array;
  readonly inputs: readonly string[];
}

/**
 * A graph of the loss of some images and its gradient: the forward process (Ho et al. 2020, eq. 4), the network, its
 * squared error, with a learned variance the hybrid loss of Nichol and Dhariwal 2021 (section 3.1), and the way back. A
 * varianceWeight of 0.001 is OpenAI's RESCALED_MSE.
 *
 * Inputs, float32 unless told otherwise, with P trained numbers and N images: `parameters` and `gradient_before` [P];
 * `images` in [-1, 1] and standard normal `noise` [N, C, H, W]; `timestep` [N]; int64 `class_labels` [N] where the network
 * takes classes; `coefficients` [N, COEFFICIENTS.length], a row of `coefficientsOf` for each image.
 *
 * Outputs: `gradient` [P], `gradient_before` plus that of the loss; `loss` [], the sum over images, over `divisor`, of
 * weight * error + varianceWeight * T * (the bound's term in bits per dimension), the latter only where the variance is
 * learned; `errors` [N], the mean squared error of each image's prediction, unweighted.
 *
 * @throws TypeError or RangeError naming the argument; DdpmError `model-invalid` for a parameter that the network needs and
 * nothing provides
 */
export function lossGraph(options: LossGraphOptions): LossGraph {
  checkOptions(options);
  const { network, loss, images: count, divisor, trained: shapes, parameters = (_, trained) => trained } = options;
  const g = new GraphBuilder('loss');
  const { add, sub, mul, times, mean, reshape } = arithmetic(g, new Shapes(g));

  const size = [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
  const trained = new VectorParameters(g, g.input('parameters', 'float32', [size]), shapes);
  const before = g.input('gradient_before', 'float32', [size]);
  const shape = [count, network.inChannels, ...(network.sampleSize ?? [])];
  const images = g.input('images', 'float32', shape);
  const noise = g.input('noise', 'float32', shape);
  const timestep = g.input('timestep', 'float32', [count]);
  const classLabels = isClassConditional(network) ? g.input('class_labels', 'int64', [count]) : undefined;
  const of = columns(g, count);

  // x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps, and what the network is to say of it
  const [signal, sigma] = [of('signal'), of('noise')];
  const sample = add(mul(images, signal), mul(noise, sigma));
  const net = new Layers(g, parameters(g, trained), network);
  const answer = unetForward(net, { sample, timestep, classLabels }).value;
  const target = {
    epsilon: () => noise,
    sample: () => images,
    v_prediction: () => sub(mul(noise, signal), mul(images, sigma)),
  }[loss.prediction]();

  const learned = loss.variance === 'learned';
  const [prediction, variance] = learned ? g.ops('Split', [answer], 2, { axis: 1 }) : [answer];
  const error = sub(prediction, target);
  const errors = mean(mul(error, error), [1, 2, 3]);
  const bound = learned ? boundTerms(g, { images, error, variance, of }) : undefined;
  const weighted = mul(errors, of('weight'));
  const each = bound ? add(weighted, times(bound.terms, loss.varianceWeight)) : weighted;
  const total = times(g.op('ReduceSum', [each], { keepdims: 0 }), 1 / divisor);

  const slopes = gradients(g, total, trained.values, { stop: bound?.stop });
  g.output('gradient', 'float32', [size], add(before, trained.join(slopes)));
  g.output('loss', 'float32', [], total);
  g.output('errors', 'float32', [count], reshape(errors, [count]));
  return { bytes: g.toBytes(), inputs: g.declaredInputs.map(({ name }) => name) };
}

function columns(g: GraphBuilder, count: number): Columns {
  const coefficients = g.input('coefficients', 'float32', [count, COEFFICIENTS.length]);
  return (name) => {
    const at = COEFFICIENTS.indexOf(name);
    const bounds = [[at], [at + 1], [1]].map((list) => g.intVector(list));
    return g.op('Reshape', [g.op('Slice', [coefficients, ...bounds]), g.intVector([count, 1, 1, 1])], {}, name);
  };
}

function checkOptions(options: LossGraphOptions): void {
  assertKeys(options, 'lossGraph', ['network', 'loss', 'images', 'divisor', 'trained', 'parameters']);
  const { network, loss, images, divisor, trained } = options;
  assertInteger(images, 'images', 1, 65536);
  assertNumber(divisor, 'divisor', 1);
  assertOneOf(loss.prediction, 'loss.prediction', predictionTypes);
  assertOneOf(loss.variance, 'loss.variance', ['fixed', 'learned']);
  assertNumber(loss.varianceWeight, 'loss.varianceWeight', 0);
  if (network.sampleSize === null) throw wrongValue('network.sampleSize', 'an image size', null);
  const channels = network.inChannels * (loss.variance === 'learned' ? 2 : 1);
  if (network.outChannels !== channels)
    throw wrongValue('network.outChannels', `${channels}, for a ${loss.variance} variance`, network.outChannels);
  if (trained.size === 0) throw wrongValue('trained', 'at least one parameter', 'none');
}
