import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { DdpmError, show, wrongValue } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './onnx_pb.ts';

/** A value of a graph, by its name: what an operator gives and another takes. */
export type Value = string;

/** Element types of values, by their numbers in the ONNX standard. */
export const ELEMENT_TYPES = {
  float32: DataType.FLOAT,
  uint8: DataType.UINT8,
  int8: DataType.INT8,
  int32: DataType.INT32,
  int64: DataType.INT64,
  bool: DataType.BOOL,
  float16: DataType.FLOAT16,
  float64: DataType.DOUBLE,
} as const;

const ELEMENT_BYTES = { float32: 4, uint8: 1, int8: 1, int32: 4, int64: 8, bool: 1, float16: 2, float64: 8 } as const;

/** The name of an element type. */
export type ElementType = keyof typeof ELEMENT_TYPES;

/** An attribute that is a float; a plain number in an attribute list is an integer. */
export interface FloatAttribute {
  readonly float: number | readonly number[];
}

/** What an operator's attribute may be: integers, text, or a float made by `float`. */
export type Attribute = number | readonly number[] | string | FloatAttribute;

/** Marks an attribute as float: `{ epsilon: float(1e-5) }`. */
export function float(value: number | readonly number[]): FloatAttribute {
  return { float: value };
}

/** What a graph declares itself to be. */
export interface ModelInfo {
  /** Version of the ai.onnx operators, 17 by default. */
  readonly opset?: number;
  /** Key and value pairs kept in the file, written in order of their keys. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Builds an ONNX graph call by call: each `op` takes values and gives a value.
 *
 *     const g = new GraphBuilder('small');
 *     const x = g.input('x', 'float32', ['N', 3, 8, 8]);
 *     const y = g.op('Conv', [x, g.floats('w', [4, 3, 3, 3], weights)], { pads: [1, 1, 1, 1] });
 *     g.output('y', 'float32', ['N', 4, 8, 8], y);
 *     const bytes = g.toBytes();
 *
 * The same calls give the same bytes. Weights are not copied before `toBytes` lays them into the file.
 */
export class GraphBuilder {
  private readonly nodes: NodeProto[] = [];
  private readonly inputs: ValueInfoProto[] = [];
  private readonly outputs: ValueInfoProto[] = [];
  private readonly initializers: { tensor: TensorProto; data: Uint8Array }[] = [];
  private readonly names = new Set<Value>();
  private readonly constants = new Map<string, Value>();

  constructor(readonly name: string) {}

  /** Declares an input; a dimension given by name is free. */
  input(name: string, type: ElementType, dims: readonly (number | string)[]): Value {
    this.inputs.push(valueInfo(this.claim(name), type, dims));
    return name;
  }

  /** Declares an output and gives `value`, the result of an operator, its name. */
  output(name: string, type: ElementType, dims: readonly (number | string)[], value: Value): void {
    if (!this.nodes.some((node) => node.output.includes(value))) {
      throw wrongValue('value', 'the result of an operator', value);
    }
    this.outputs.push(valueInfo(this.claim(name), type, dims));
    const rename = (names: string[]) => names.map((n) => (n === value ? name : n));
    for (const node of this.nodes) {
      node.input = rename(node.input);
      node.output = rename(node.output);
    }
  }

  /** Adds an operator of ai.onnx with one result, named after `name` or the operator's type; absent inputs are ''. */
  op(type: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}, name = type): Value {
    return this.ops(type, inputs, 1, attributes, name)[0];
  }

  /** Adds an operator with several results. */
  ops(
    type: string,
    inputs: readonly Value[],
    count: number,
    attributes: Readonly<Record<string, Attribute>> = {},
    name = type,
  ): Value[] {
    const first = this.claim(this.free(name));
    const output = Array.from({ length: count }, (_, i) => (i ? this.claim(this.free(`${first}.${i}`)) : first));
    const attribute = Object.keys(attributes)
      .sort()
      .map((key) => encodeAttribute(key, attributes[key]));
    this.nodes.push(create(NodeProtoSchema, { input: [...inputs], output, name: first, opType: type, attribute }));
    return output;
  }

  /** Adds a constant tensor: little-endian bytes in C order, which stay the caller's until `toBytes`. */
  initializer(name: string, type: ElementType, dims: readonly number[], data: Uint8Array): Value {
    const expected = sizeOf(dims) * ELEMENT_BYTES[type];
    if (data.length !== expected) throw wrongValue(name, `${expected} bytes for ${type} ${show(dims)}`, data.length);
    const tensor = create(TensorProtoSchema, {
      name: this.claim(name),
      dims: dims.map(BigInt),
      dataType: ELEMENT_TYPES[type],
    });
    this.initializers.push({ tensor, data });
    return name;
  }

  /** Adds a float32 tensor. */
  floats(name: string, dims: readonly number[], data: Float32Array): Value {
    return this.initializer(name, 'float32', dims, bytesOf(data));
  }

  /** Adds a tensor stored as float16 bits, and the Cast that makes it float32. */
  halfs(name: string, dims: readonly number[], data: Uint16Array | Uint8Array): Value {
    const half = this.initializer(`${name}.float16`, 'float16', dims, bytesOf(data));
    return this.op('Cast', [half], { to: ELEMENT_TYPES.float32 }, name);
  }

  /** A small int64 vector, such as a shape: equal ones are stored once. */
  intVector(values: readonly number[]): Value {
    const name = `ints(${values.join(',')})`;
    return this.once(name, () =>
      this.initializer(name, 'int64', [values.length], bytesOf(BigInt64Array.from(values, BigInt))),
    );
  }

  /** A float32 number without dimensions: equal ones are stored once. */
  scalar(value: number): Value {
    const name = `float(${Math.fround(value)})`;
    return this.once(name, () => this.floats(name, [], Float32Array.of(value)));
  }

  /** A small float32 vector: equal ones are stored once. */
  floatVector(values: readonly number[]): Value {
    const [first] = values;
    const all = values.every((n) => n === first) ? `${first} x ${values.length}` : values.map(Math.fround).join(',');
    const name = `floats(${all})`;
    return this.once(name, () => this.floats(name, [values.length], Float32Array.from(values)));
  }

  /**
   * The ONNX file, IR version 8.
   *
   * @throws DdpmError `out-of-memory` for a graph over the 2 GiB that a protobuf message may have
   */
  toBytes({ opset = 17, metadata = {} }: ModelInfo = {}): Uint8Array {
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
    const { name, nodes: node, inputs: input, outputs: output } = this;
    const graph = toBinary(GraphProtoSchema, create(GraphProtoSchema, { name, node, input, output }));

    // protobuf's writer would copy the weights once for each level of nesting, into buffers of twice the size: the
    // three outer lengths are written here instead, and the weights copied once
    const weights = this.initializers.flatMap(({ tensor, data }) => {
      const head = toBinary(TensorProtoSchema, tensor);
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

  private once(key: string, make: () => Value): Value {
    const known = this.constants.get(key);
    if (known !== undefined) return known;
    const value = make();
    this.constants.set(key, value);
    return value;
  }

  private claim(name: Value): Value {
    if (this.names.has(name)) throw wrongValue('name', 'a name that no other value has', name);
    this.names.add(name);
    return name;
  }

  private free(name: Value): Value {
    let candidate = name;
    for (let i = 1; this.names.has(candidate); i++) candidate = `${name}_${i}`;
    return candidate;
  }
}

// protobuf messages end at 2 GiB; some room for the model's own fields
const MAX_MESSAGE = 2 ** 31 - 2 ** 16;

function encodeAttribute(name: string, value: Attribute): AttributeProto {
  return create(AttributeProtoSchema, { name, ...attributeValue(name, value) });
}

function attributeValue(name: string, value: Attribute) {
  if (typeof value === 'string') return { type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (typeof value === 'number') return { type: AttributeType.INT, i: whole(name, value) };
  if ('float' in value) {
    return typeof value.float === 'number'
      ? { type: AttributeType.FLOAT, f: Math.fround(value.float) }
      : { type: AttributeType.FLOATS, floats: value.float.map(Math.fround) };
  }
  return { type: AttributeType.INTS, ints: value.map((n) => whole(name, n)) };
}

function whole(name: string, value: number): bigint {
  if (!Number.isSafeInteger(value)) throw wrongValue(name, 'an integer; float() marks a float', value);
  return BigInt(value);
}

function valueInfo(name: string, type: ElementType, dims: readonly (number | string)[]): ValueInfoProto {
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

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
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
