import { fromBinary } from '@bufbuild/protobuf';
import { DdpmError, show } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import type { UNetConfig } from '../core/unetConfig.ts';
import { TensorProto_DataType as DataType, type ModelProto, ModelProtoSchema, type TensorProto } from './onnx_pb.ts';
import { sameNumbers, storedName } from './parameters.ts';
import { asStored, ITEM_SIZES, type StoredTensor } from './safetensors.ts';
import { unetParameters } from './unet2d.ts';

/** A network's parameters by name, and the names of tensors that it has no place for. */
export interface NamedParameters {
  /** Under today's names and in today's shapes, in the order in which the network meets them. */
  readonly parameters: Map<string, StoredTensor>;
  readonly unused: readonly string[];
}

/**
 * The parameters of a network among tensors that have today's names and shapes or those of older checkpoints. Their
 * numbers are untouched, and not copied.
 *
 * @param file what messages call the tensors, if anything
 * @throws DdpmError `model-invalid` for a parameter that is missing or of another shape
 */
export function todaysParameters(
  config: UNetConfig,
  tensors: ReadonlyMap<string, Tensor | StoredTensor>,
  file?: string,
): NamedParameters {
  const shapes = unetParameters(config, (name) => storedName(tensors, name) !== undefined);
  const unused = new Set(tensors.keys());
  const parameters = new Map<string, StoredTensor>();
  for (const [name, shape] of shapes) {
    const key = storedName(tensors, name);
    const prefix = file === undefined ? '' : `${file}: `;
    const expected = `${prefix}parameter ${show(name)} expected shape [${shape.join(', ')}]`;
    if (key === undefined) throw new DdpmError('model-invalid', `${expected}, got no such parameter`);
    const tensor = asStored(tensors.get(key)!);
    if (!sameNumbers(tensor.shape, shape))
      throw new DdpmError('model-invalid', `${expected}, got [${tensor.shape.join(', ')}]`);
    parameters.set(name, { ...tensor, shape });
    unused.delete(key);
  }
  return { parameters, unused: [...unused] };
}

/**
 * The parameters of a network in an ONNX file that `buildUNet` made of it: as float32 or float16, as they are stored,
 * under today's names and in today's shapes.
 *
 * @param config the network's, which the file does not hold
 * @param file what messages call the file
 * @throws DdpmError `model-invalid` for bytes that are no such file, or one of another network
 */
export function readParameters(bytes: Uint8Array, config: UNetConfig, file = 'model.onnx'): Map<string, StoredTensor> {
  const { producerName, graph } = parse(bytes, file);
  if (producerName !== 'ddpm-wasm' || graph?.name !== 'UNet2DModel') {
    const expected = `${file}: expected a UNet2DModel that ddpm-wasm converted, whose parameters have names`;
    throw new DdpmError('model-invalid', `${expected}, got a graph of ${show(producerName || 'unknown origin')}`);
  }
  const tensors = new Map<string, StoredTensor>();
  for (const tensor of graph.initializer) {
    const dtype = STORED_TYPES.get(tensor.dataType);
    // all other constants of the graph are made of the config
    if (!dtype || !/\.(weight|bias)(\.float16)?$/.test(tensor.name)) continue;
    tensors.set(tensor.name.replace(/\.float16$/, ''), storedTensor(tensor, dtype, file));
  }
  const { parameters, unused } = todaysParameters(config, tensors, file);
  if (unused.length > 0) {
    const expected = `${file}: expected the parameters of the network that config.json describes`;
    throw new DdpmError('model-invalid', `${expected}, got ${show(unused[0])} too`);
  }
  return parameters;
}

const STORED_TYPES = new Map<number, 'F32' | 'F16'>([
  [DataType.FLOAT, 'F32'],
  [DataType.FLOAT16, 'F16'],
]);

function parse(bytes: Uint8Array, file: string): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw new DdpmError('model-invalid', `${file}: not an ONNX model, or damaged`, { cause });
  }
}

function storedTensor({ name, dims, rawData }: TensorProto, dtype: 'F32' | 'F16', file: string): StoredTensor {
  const shape = dims.map(Number);
  const expected = shape.reduce((size, n) => size * n, ITEM_SIZES[dtype]);
  if (rawData?.length !== expected || shape.some((n) => n < 0)) {
    const what = `${file}: tensor ${show(name)} expected ${expected} bytes for ${dtype} [${shape.join(', ')}]`;
    throw new DdpmError('model-invalid', `${what}, got ${rawData?.length ?? 0}`);
  }
  return { dtype, shape, data: rawData };
}
