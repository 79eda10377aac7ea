import { fromBinary } from '@bufbuild/protobuf';
import { TensorProto_DataType as DataType, ModelProtoSchema } from './onnx_pb.ts';

/** How the weights of a graph are stored. */
export type WeightType = 'fp32' | 'fp16' | 'int8';

/** How most weights in an ONNX file are stored, of the types that weights are written in. */
export function weightTypeOf(bytes: Uint8Array): WeightType {
  const counts = { fp32: 0, fp16: 0, int8: 0 };
  for (const { dataType, dims } of fromBinary(ModelProtoSchema, bytes).graph?.initializer ?? []) {
    const type = types[dataType];
    if (type) counts[type] += dims.reduce((size, n) => size * Number(n), 1);
  }
  const [[largest]] = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return largest as WeightType;
}

const types: Readonly<Record<number, WeightType | undefined>> = {
  [DataType.FLOAT]: 'fp32',
  [DataType.FLOAT16]: 'fp16',
  [DataType.INT8]: 'int8',
  [DataType.UINT8]: 'int8',
};
