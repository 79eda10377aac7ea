export {
  ACTIVATIONS,
  DOWN_BLOCKS,
  parseUNetConfig,
  type UNetConfig,
  UP_BLOCKS,
} from '../core/unetConfig.ts';
export { type Checkpoint, convertCheckpoint, convertFolder, type ReadFile, readWeights } from './convert.ts';
export { type GradientOptions, gradients } from './gradients.ts';
export {
  type Attribute,
  type Constant,
  type Declared,
  ELEMENT_TYPES,
  type ElementType,
  type FloatAttribute,
  float,
  GraphBuilder,
  type ModelInfo,
  type Operator,
  type Value,
} from './graph.ts';
export { decodeHalf, encodeHalf, floatToHalf, halfToFloat } from './half.ts';
export { type FeatureMap, Layers } from './layers.ts';
export { type Lora, type LoraLayer, mergeLora, readLora } from './lora.ts';
export { type NamedParameters, readParameters, todaysParameters } from './namedParameters.ts';
export { RATES, reduceGraph, type UpdateOptions, updateGraph } from './optimizer.ts';
export {
  CheckpointParameters,
  type ParameterSource,
  VectorParameters,
  WEIGHT_TYPES,
  type WeightType,
} from './parameters.ts';
export {
  ITEM_SIZES,
  readSafetensors,
  type StoredTensor,
  type StoredType,
  toFloat32,
  writeSafetensors,
} from './safetensors.ts';
export { buildUNet, type UNetModel, type UNetOptions, unetForward, unetParameters } from './unet2d.ts';
