import { wrongValue } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';
import type { GraphBuilder, Value } from '../onnx/graph.ts';
import { mergeLora } from '../onnx/lora.ts';
import { todaysParameters } from '../onnx/namedParameters.ts';
import { CheckpointParameters, type ParameterSource, type VectorParameters } from '../onnx/parameters.ts';
import { type StoredTensor, toFloat32 } from '../onnx/safetensors.ts';
import type { ParsedTraining } from './config.ts';
import { isFixed } from './configChecks.ts';
import { initializeLora, initializeParameters } from './initialize.ts';
import { type LoraConfig, loraIn, loraNames, loraShapes, partsOf, targetLayers } from './lora.ts';
import { matches } from './patterns.ts';

/** What of a network is trained, how the loss graph reads it, and what network comes of it. */
export interface Trainable {
  /** The names and shapes of what is trained, in the order of the flat vector. */
  readonly trained: ReadonlyMap<string, readonly number[]>;
  /** The vector at the start. */
  readonly initial: Float32Array;
  /** What the network of the loss graph reads: `vector` has the shapes of `trained`, all else are constants of `g`. */
  source(g: GraphBuilder, vector: VectorParameters): ParameterSource;
  /**
   * The whole network's parameters by diffusers' names, LoRA merged and what is frozen included: what is evaluated,
   * sampled and saved. What is trained is copied from the vector.
   */
  parameters(vector: Float32Array): Map<string, Tensor>;
}

/**
 * What a config trains: all parameters but those that `freeze` names and Fourier frequencies, which are random and fixed;
 * or, with `lora`, the two matrices of each target layer and nothing else.
 *
 * @param base the parameters of the model of config.from; without one the network begins at random, by the seed
 * @throws DdpmError `model-invalid` for a base that has not the network's parameters, RangeError for none where
 * config.from names one
 */
export function trainableOf(
  engine: Engine,
  { config, network }: ParsedTraining,
  base?: ReadonlyMap<string, Tensor | StoredTensor>,
): Trainable {
  const { from, seed, lora, freeze } = config;
  if (from !== null && !base) throw wrongValue('base', 'the parameters of the model of "from"', undefined);
  const { parameters } = todaysParameters(network, base ?? initializeParameters(engine, network, { seed }));
  if (lora) return adapted(engine, parameters, { lora, seed });
  return plain(parameters, (name) => isFixed(name, network) || freeze.some((pattern) => matches(name, pattern)));
}

type Parameters = ReadonlyMap<string, StoredTensor>;

function plain(base: Parameters, frozen: (name: string) => boolean): Trainable {
  const trained = shapesOf([...base].filter(([name]) => !frozen(name)));
  return {
    trained,
    initial: joined(trained, (name) => toFloat32(base.get(name)!)),
    source(g, vector) {
      const constants = new CheckpointParameters(g, base, 'fp32', 'base');
      return {
        has: (key) => base.has(key),
        get: (key, ...shapes) => (trained.has(key) ? vector : constants).get(key, ...shapes),
      };
    },
    parameters(vector) {
      const parts = partsOf(vector.slice(), trained);
      return asTensors(base, (name) => parts.get(name)?.data);
    },
  };
}

function adapted(engine: Engine, base: Parameters, { lora, seed }: { lora: LoraConfig; seed: number }): Trainable {
  const layers = targetLayers(lora, shapesOf(base));
  const trained = loraShapes(lora, layers);
  const matrices = initializeLora(engine, trained, seed);
  return {
    trained,
    initial: joined(trained, (name) => matrices.get(name)!.data),
    source(g, vector) {
      const constants = new CheckpointParameters(g, base, 'fp32', 'base');
      const get = (key: string, shape: readonly number[], as = shape) => {
        const weight = constants.get(key, shape, as);
        const layer = key.replace(/\.weight$/, '');
        if (layer === key || !layers.has(layer)) return weight;
        const product = g.op('Reshape', [loraProduct(g, { vector, layer, trained }), g.intVector(as)]);
        return g.op('Add', [weight, g.op('Mul', [product, g.scalar(lora.alpha / lora.rank)])]);
      };
      return { has: (key) => base.has(key), get };
    },
    parameters: (vector) => asTensors(mergeLora(base, loraIn(lora, { trained, vector }))),
  };
}

/** B A as a matrix [out, inputs of one output]. */
function loraProduct(
  g: GraphBuilder,
  { vector, layer, trained }: { vector: VectorParameters; layer: string; trained: Trainable['trained'] },
): Value {
  const [a, b] = loraNames(layer).map((name) => {
    const shape = trained.get(name)!;
    return vector.get(name, shape, [shape[0], sizeOf(shape.slice(1))]);
  });
  return g.op('MatMul', [b, a]);
}

function shapesOf(parameters: Iterable<readonly [string, StoredTensor]>): Map<string, readonly number[]> {
  return new Map(Array.from(parameters, ([name, { shape }]) => [name, shape]));
}

function joined(shapes: ReadonlyMap<string, readonly number[]>, numbersOf: (name: string) => Float32Array) {
  const vector = new Float32Array([...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0));
  let offset = 0;
  for (const [name, shape] of shapes) {
    vector.set(numbersOf(name), offset);
    offset += sizeOf(shape);
  }
  return vector;
}

function asTensors(
  parameters: Parameters,
  numbersOf: (name: string) => Float32Array | undefined = () => undefined,
): Map<string, Tensor> {
  return new Map(
    [...parameters].map(([name, tensor]) => [
      name,
      { data: numbersOf(name) ?? toFloat32(tensor), shape: tensor.shape },
    ]),
  );
}
