import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { DdpmError } from '../core/errors.ts';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './onnx_pb.ts';
import {
  type Attribute,
  type Constant,
  type Declared,
  ELEMENT_TYPES,
  type ModelInfo,
  type Operator,
} from './values.ts';

/** What an ONNX file holds, in the builder's own words. */
export interface GraphParts {
  readonly name: string;
  readonly inputs: readonly Declared[];
  readonly outputs: readonly Declared[];
  readonly operators: readonly Operator[];
  readonly constants: Iterable<Constant>;
}

/**
 * The ONNX file of a graph, IR version 8.
 *
 * @throws DdpmError `out-of-memory` for a graph over the 2 GiB that a protobuf message may have
 */
export function encodeModel(parts: GraphParts, { opset = 17, metadata = {} }: ModelInfo): Uint8Array {
  const model = toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      producerName: 'ddpm-wasm',
      opsetImport: [{ domain: '', version: BigInt(opset) }],
      metadataProps: Object.keys(metadata)
        .sort()
        .map((key) => ({ key, value: metadata[key] })),
    }),
  );
  const { name } = parts;
  const [input, output] = [parts.inputs.map(valueInfo), parts.outputs.map(valueInfo)];
  const node = parts.operators.map(encodeOperator);
  const graph = toBinary(GraphProtoSchema, create(GraphProtoSchema, { name, node, input, output }));

  // protobuf's writer would copy the weights once for each level of nesting, into buffers of twice the size: the
  // three outer lengths are written here instead, and the weights copied once
  const weights = [...parts.constants].flatMap(({ data, ...tensor }) => {
    const dims = tensor.dims.map(BigInt);
    const message = create(TensorProtoSchema, { name: tensor.name, dims, dataType: ELEMENT_TYPES[tensor.type] });
    const head = toBinary(TensorProtoSchema, message);
    const lead = prefix(TensorProtoSchema.field.rawData.number, data.length);
    const length = head.length + lead.length + data.length;
    return [prefix(GraphProtoSchema.field.initializer.number, length), head, lead, data];
  });
  const graphLength = graph.length + total(weights);
  if (graphLength > MAX_MESSAGE) {
    const message = `${name}: an ONNX file expected at most ${MAX_MESSAGE} bytes, got ${graphLength}`;
    throw new DdpmError('out-of-memory', message);
  }
  return concat([model, prefix(ModelProtoSchema.field.graph.number, graphLength), graph, ...weights]);
}

// protobuf messages end at 2 GiB; some room for the model's own fields
const MAX_MESSAGE = 2 ** 31 - 2 ** 16;

function encodeOperator({ name, type, inputs, outputs, attributes }: Operator) {
  const attribute = Object.keys(attributes)
    .sort()
    .map((key) => encodeAttribute(key, attributes[key]));
  return create(NodeProtoSchema, { input: [...inputs], output: [...outputs], name, opType: type, attribute });
}

function encodeAttribute(name: string, value: Attribute): AttributeProto {
  return create(AttributeProtoSchema, { name, ...attributeValue(value) });
}

function attributeValue(value: Attribute) {
  if (typeof value === 'string') return { type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (typeof value === 'number') return { type: AttributeType.INT, i: BigInt(value) };
  if ('float' in value) {
    return typeof value.float === 'number'
      ? { type: AttributeType.FLOAT, f: Math.fround(value.float) }
      : { type: AttributeType.FLOATS, floats: value.float.map(Math.fround) };
  }
  return { type: AttributeType.INTS, ints: value.map(BigInt) };
}

function valueInfo({ name, type, dims }: Declared): ValueInfoProto {
  const dim = dims.map((d) => ({
    value:
      typeof d === 'number' ? { case: 'dimValue' as const, value: BigInt(d) } : { case: 'dimParam' as const, value: d },
  }));
  const tensorType = { elemType: ELEMENT_TYPES[type], shape: { dim } };
  return create(ValueInfoProtoSchema, { name, type: { value: { case: 'tensorType', value: tensorType } } });
}

function prefix(field: number, length: number): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish();
}

function total(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(total(parts));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
