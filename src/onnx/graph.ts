import { show, wrongValue } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import { encodeModel } from './encode.ts';
import {
  type Attribute,
  type Constant,
  type Declared,
  ELEMENT_BYTES,
  ELEMENT_TYPES,
  type ElementType,
  type ModelInfo,
  type Operator,
  type Value,
} from './values.ts';

export {
  type Attribute,
  type Constant,
  type Declared,
  ELEMENT_TYPES,
  type ElementType,
  type FloatAttribute,
  float,
  type ModelInfo,
  type Operator,
  type Value,
} from './values.ts';

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
  private readonly nodes: Operator[] = [];
  private readonly inputs: Declared[] = [];
  private readonly outputs: Declared[] = [];
  private readonly initializers = new Map<Value, Constant>();
  private readonly names = new Set<Value>();
  private readonly counts = new Map<string, number>();
  private readonly shared = new Map<string, Value>();

  constructor(readonly name: string) {}

  /** The operators so far, each after those whose results it takes. */
  get operators(): readonly Operator[] {
    return this.nodes;
  }

  /** The inputs so far. */
  get declaredInputs(): readonly Declared[] {
    return this.inputs;
  }

  /** A constant by its name; undefined for any other value. */
  constant(value: Value): Constant | undefined {
    return this.initializers.get(value);
  }

  /** Declares an input; a dimension given by name is free. */
  input(name: string, type: ElementType, dims: readonly (number | string)[]): Value {
    this.inputs.push({ name: this.claim(name), type, dims });
    return name;
  }

  /** Declares an output and gives `value`, the result of an operator, its name. */
  output(name: string, type: ElementType, dims: readonly (number | string)[], value: Value): void {
    if (!this.nodes.some(({ outputs }) => outputs.includes(value))) {
      throw wrongValue('value', 'the result of an operator', value);
    }
    this.outputs.push({ name: this.claim(name), type, dims });
    const rename = (names: readonly Value[]) => names.map((n) => (n === value ? name : n));
    for (const [i, node] of this.nodes.entries()) {
      if (!node.inputs.includes(value) && !node.outputs.includes(value)) continue;
      this.nodes[i] = { ...node, inputs: rename(node.inputs), outputs: rename(node.outputs) };
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
    const outputs = Array.from({ length: count }, (_, i) => (i ? this.claim(this.free(`${first}.${i}`)) : first));
    for (const [key, value] of Object.entries(attributes)) assertWhole(key, value);
    this.nodes.push({ name: first, type, inputs: [...inputs], outputs, attributes });
    return outputs;
  }

  /** Adds a constant tensor: little-endian bytes in C order, which stay the caller's until `toBytes`. */
  initializer(name: string, type: ElementType, dims: readonly number[], data: Uint8Array): Value {
    const expected = sizeOf(dims) * ELEMENT_BYTES[type];
    if (data.length !== expected) throw wrongValue(name, `${expected} bytes for ${type} ${show(dims)}`, data.length);
    this.initializers.set(this.claim(name), { name, type, dims, data });
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

  /** A float32 vector: equal ones are stored once. */
  floatVector(values: readonly number[]): Value {
    const [first] = values;
    const all = values.every((n) => n === first) ? `${first} x ${values.length}` : values.map(Math.fround).join(',');
    const name = all.length > 60 ? `floats[${values.length}]` : `floats(${all})`;
    return this.once(`floats(${all})`, () => this.floats(this.free(name), [values.length], Float32Array.from(values)));
  }

  /**
   * The ONNX file, IR version 8.
   *
   * @throws DdpmError `out-of-memory` for a graph over the 2 GiB that a protobuf message may have
   */
  toBytes(info: ModelInfo = {}): Uint8Array {
    const { name, inputs, outputs, nodes: operators } = this;
    return encodeModel({ name, inputs, outputs, operators, constants: this.initializers.values() }, info);
  }

  private once(key: string, make: () => Value): Value {
    const known = this.shared.get(key);
    if (known !== undefined) return known;
    const value = make();
    this.shared.set(key, value);
    return value;
  }

  private claim(name: Value): Value {
    if (this.names.has(name)) throw wrongValue('name', 'a name that no other value has', name);
    this.names.add(name);
    return name;
  }

  // the name itself, or with the first number that is free
  private free(name: Value): Value {
    if (!this.names.has(name)) return name;
    let count = this.counts.get(name) ?? 1;
    while (this.names.has(`${name}_${count}`)) count++;
    this.counts.set(name, count + 1);
    return `${name}_${count}`;
  }
}

function assertWhole(name: string, value: Attribute): void {
  if (typeof value === 'string' || (typeof value === 'object' && 'float' in value)) return;
  for (const n of typeof value === 'number' ? [value] : value) {
    if (!Number.isSafeInteger(n)) throw wrongValue(name, 'an integer; float() marks a float', n);
  }
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
