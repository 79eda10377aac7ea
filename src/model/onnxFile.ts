/** What inspecting needs of an ONNX graph: a page that samples has no use for the whole schema. */
export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  /** Names. */
  readonly outputs: readonly string[];
}

/** An operator of a graph. */
export interface OnnxNode {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** What its attributes hold. */
  readonly tensors: readonly OnnxTensor[];
}

/** A tensor without its numbers. */
export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  /** TensorProto.DataLocation. */
  readonly dataLocation: number;
  readonly externalData: ReadonlyMap<string, string>;
}

/**
 * The graph of an ONNX file by the field numbers of onnx.proto (onnx_pb.ts is all of it); what is not needed is passed
 * over. Messages that come twice are merged, as protobuf has it.
 *
 * @throws Error for bytes that are no protobuf message.
 */
export function readGraph(bytes: Uint8Array): OnnxGraph {
  const graphs = messages(fieldsOf(bytes), 7).map(fieldsOf);
  const all = (field: number) => graphs.flatMap((graph) => messages(graph, field)).map(fieldsOf);
  return {
    nodes: all(1).map(nodeOf),
    initializers: all(5).map(tensorOf),
    outputs: all(12).map((value) => text(value, 1)),
  };
}

/** Whether a tensor's numbers lie in another file. */
export function isExternal({ dataLocation }: OnnxTensor): boolean {
  return dataLocation === 1;
}

function nodeOf(node: Fields): OnnxNode {
  const attributes = messages(node, 5).map(fieldsOf);
  return {
    opType: text(node, 4),
    inputs: messages(node, 1).map(decode),
    outputs: messages(node, 2).map(decode),
    tensors: attributes.flatMap((attribute) => messages(attribute, 5)).map((tensor) => tensorOf(fieldsOf(tensor))),
  };
}

function tensorOf(tensor: Fields): OnnxTensor {
  const entries = messages(tensor, 13).map(fieldsOf);
  return {
    name: text(tensor, 8),
    dims: numbers(tensor, 1),
    dataLocation: numbers(tensor, 14).at(-1) ?? 0,
    externalData: new Map(entries.map((entry) => [text(entry, 1), text(entry, 2)])),
  };
}

/** The fields of a message by number: views of what has a length, and numbers. */
type Fields = ReadonlyMap<number, readonly (Uint8Array | number)[]>;

function fieldsOf(bytes: Uint8Array): Fields {
  const fields = new Map<number, (Uint8Array | number)[]>();
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const value = reader.value(tag % 8);
    const field = Math.floor(tag / 8);
    fields.get(field)?.push(value) ?? fields.set(field, [value]);
  }
  return fields;
}

/** Protobuf's wire format: numbers in groups of seven bits, and bytes with their length before them. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** An unsigned number, exact up to 2^53; the sizes and field numbers that are read here are less. */
  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      const byte = this.#take(1)[0];
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
    throw new Error('a number without end');
  }

  value(wireType: number): Uint8Array | number {
    if (wireType === 0) return this.varint();
    if (wireType === 1) return this.#take(8);
    if (wireType === 2) return this.#take(this.varint());
    if (wireType === 5) return this.#take(4);
    throw new Error(`wire type ${wireType}`); // groups, which ONNX has none of
  }

  #take(count: number): Uint8Array {
    const begin = this.#at;
    this.#at += count;
    if (this.#at > this.#bytes.length) throw new Error('cut short');
    return this.#bytes.subarray(begin, this.#at);
  }
}

function messages(fields: Fields, field: number): Uint8Array[] {
  return (fields.get(field) ?? []).filter((value) => typeof value !== 'number');
}

/** Numbers, packed or one by one. */
function numbers(fields: Fields, field: number): number[] {
  return (fields.get(field) ?? []).flatMap((value) => (typeof value === 'number' ? value : unpack(value)));
}

function unpack(bytes: Uint8Array): number[] {
  const reader = new Reader(bytes);
  const values: number[] = [];
  while (!reader.done) values.push(reader.varint());
  return values;
}

function text(fields: Fields, field: number): string {
  const last = messages(fields, field).at(-1);
  return last ? decode(last) : '';
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
