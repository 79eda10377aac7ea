import { ELEMENT_TYPES, type ElementType, GraphBuilder, type Value } from '../../src/onnx/graph.ts';

type Dims = readonly (number | string)[];

interface Input {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: Dims;
}

/** What a test graph looks like from outside; what it computes is always image + timestep + 1000 * label. */
export interface GraphOptions {
  readonly image?: Partial<Input>;
  readonly time?: Partial<Input>;
  readonly label?: Partial<Input>;
  /** The declared shape of the prediction; the image's by default. */
  readonly outDims?: Dims;
  /** How often the prediction repeats its channels. */
  readonly times?: number;
  /** Further inputs, which the graph does not use. */
  readonly extra?: readonly Input[];
  /** Rows of an embedding that the label indexes; without it the label itself is added. */
  readonly embedding?: number;
}

/** A small ONNX graph with inputs and an output of the wanted names, types and shapes. */
export function smallGraph(options: GraphOptions = {}): Uint8Array {
  const image: Input = { name: 'sample', type: 'float32', dims: ['N', 1, 2, 3], ...options.image };
  const time: Input = { name: 'timestep', type: 'float32', dims: ['N'], ...options.time };
  const g = new GraphBuilder('small');
  const declare = ({ name, type, dims }: Input) => g.input(name, type, dims);
  const float = (value: Value) => g.op('Cast', [value], { to: ELEMENT_TYPES.float32 });
  const perImage = (value: Value, dims: Dims) =>
    dims.length === 0 ? value : g.op('Reshape', [value, g.intVector([-1, 1, 1, 1])]);

  let sum = g.op('Add', [float(declare(image)), perImage(float(declare(time)), time.dims)]);
  if (options.label) {
    const label: Input = { name: 'class_labels', type: 'int64', dims: ['N'], ...options.label };
    const thousands = thousandsOf(g, declare(label), options.embedding, float);
    sum = g.op('Add', [sum, perImage(thousands, label.dims)]);
  }
  for (const input of options.extra ?? []) declare(input);
  const times = options.times ?? 1;
  const result = g.op('Concat', Array(times).fill(sum), { axis: 1 });
  const [n, c, h, w] = image.dims;
  const dims = options.outDims ?? [n, typeof c === 'number' ? times * c : 'C2', h, w];
  g.output('out_sample', image.type, dims, g.op('Cast', [result], { to: ELEMENT_TYPES[image.type] }));
  return g.toBytes();
}

function thousandsOf(g: GraphBuilder, label: Value, rows: number | undefined, float: (value: Value) => Value): Value {
  if (rows === undefined) return g.op('Mul', [float(label), g.scalar(1000)]);
  const table = g.floats(
    'embedding.weight',
    [rows, 1],
    Float32Array.from({ length: rows }, (_, i) => 1000 * i),
  );
  return g.op('Gather', [table, label]);
}
