import { DdpmError } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import { castType, constantNumbers, intOf, intsOf, unsupported, windowOf } from './attributes.ts';
import type { GraphBuilder } from './graph.ts';
import type { ElementType, Operator, Value } from './values.ts';

/** What is known of a value before anything runs. */
export interface TensorType {
  readonly type: ElementType;
  readonly dims: readonly number[];
}

/** An operator that is known here, by its ai.onnx name. */
export type KnownOperator = keyof typeof SHAPES;

/** Whether the shapes of an operator's results can be told. */
export function isKnown(type: string): type is KnownOperator {
  return Object.hasOwn(SHAPES, type);
}

/** The types and shapes of a graph's values, told from its inputs and constants; it follows the graph as it grows. */
export class Shapes {
  private readonly known = new Map<Value, TensorType | DdpmError>();
  private inputs = 0;
  private operators = 0;

  constructor(private readonly g: GraphBuilder) {}

  /** @throws DdpmError `model-invalid` where a free dimension or an unknown operator stands before it */
  get(value: Value): TensorType {
    return sure(this.find(value));
  }

  /** The shape of a value. */
  dims(value: Value): readonly number[] {
    return this.get(value).dims;
  }

  /** What is known of a value, or why it is not known. */
  find(value: Value): TensorType | DdpmError {
    this.follow();
    return this.look(value);
  }

  private look(value: Value): TensorType | DdpmError {
    const found = this.g.constant(value) ?? this.known.get(value);
    return found ?? new DdpmError('model-invalid', `no value of the graph has the name ${value}`);
  }

  private follow(): void {
    const { g, known } = this;
    for (; this.inputs < g.declaredInputs.length; this.inputs++) {
      const { name, type, dims } = g.declaredInputs[this.inputs];
      const free = dims.find((d) => typeof d === 'string');
      const fixed = dims.filter((d) => typeof d === 'number');
      const problem = () => new DdpmError('model-invalid', `${name}: expected fixed dimensions, got ${free}`);
      known.set(name, free === undefined ? { type, dims: fixed } : problem());
    }
    for (; this.operators < g.operators.length; this.operators++) {
      const operator = g.operators[this.operators];
      for (const [i, output] of operator.outputs.entries()) known.set(output, this.infer(operator, i));
    }
  }

  private infer(operator: Operator, output: number): TensorType | DdpmError {
    try {
      return resultOf(this.g, (value) => sure(this.look(value)), operator, output);
    } catch (error) {
      if (error instanceof DdpmError) return error;
      throw error;
    }
  }
}

function sure(found: TensorType | DdpmError): TensorType {
  if (found instanceof DdpmError) throw found;
  return found;
}

type Look = (value: Value) => TensorType;

function resultOf(g: GraphBuilder, look: Look, operator: Operator, output: number): TensorType {
  const { name, type, inputs } = operator;
  if (!isKnown(type)) throw new DdpmError('model-invalid', `${name}: operator ${type} has no gradient here`);
  const ints = (i: number) => {
    const numbers = constantNumbers(g, inputs[i] ?? '');
    if (!numbers) throw unsupported(operator, `a constant as input ${i}`, 'a computed value');
    return numbers;
  };
  const dims = (i: number) => look(inputs[i]).dims;
  const has = (i: number) => Boolean(inputs[i]);
  const rule: ShapeRule = SHAPES[type];
  return { type: typeOf(look, operator, type), dims: rule({ operator, output, dims, ints, has }) };
}

function typeOf(look: Look, operator: Operator, type: KnownOperator): ElementType {
  switch (type) {
    case 'Equal':
    case 'Greater':
    case 'GreaterOrEqual':
    case 'Less':
    case 'LessOrEqual':
      return 'bool';
    case 'Cast':
      return castType(operator);
    case 'Where':
      return look(operator.inputs[1]).type;
    default:
      return look(operator.inputs[0]).type;
  }
}

interface Known {
  readonly operator: Operator;
  /** Which of the results is asked for. */
  readonly output: number;
  dims(input: number): readonly number[];
  /** The numbers of an input that is a constant. */
  ints(input: number): readonly number[];
  has(input: number): boolean;
}

type ShapeRule = (known: Known) => readonly number[];

const same: ShapeRule = ({ dims }) => dims(0);
const paired: ShapeRule = ({ dims }) => broadcast(dims(0), dims(1));

const SHAPES = {
  ...{ Abs: same, Ceil: same, Clip: same, Cos: same, Erf: same, Exp: same, Floor: same, Identity: same, Log: same },
  ...{ Neg: same, Not: same, Reciprocal: same, Relu: same, Round: same, Sigmoid: same, Sign: same, Sin: same },
  ...{ Softmax: same, Softplus: same, Sqrt: same, Tanh: same, Cast: same, InstanceNormalization: same },
  ...{ Add: paired, Sub: paired, Mul: paired, Div: paired, Pow: paired },
  ...{ Equal: paired, Greater: paired, GreaterOrEqual: paired, Less: paired, LessOrEqual: paired },
  Where: ({ dims }) => broadcast(dims(0), broadcast(dims(1), dims(2))),

  MatMul: ({ dims }) => matrixProduct(dims(0), dims(1)),
  Gemm: ({ operator, dims }) => [
    dims(0)[intOf(operator, 'transA', 0) ? 1 : 0],
    dims(1)[intOf(operator, 'transB', 0) ? 0 : 1],
  ],
  Conv: ({ operator, dims }) => {
    const [, , ...kernel] = dims(1);
    return [dims(0)[0], dims(1)[0], ...slid(operator, dims(0).slice(2), kernel)];
  },
  ConvTranspose: ({ operator, dims }) => {
    const [, channels, ...kernel] = dims(1);
    const { strides, dilations, before, after, group } = windowOf(operator, kernel);
    const extra = intsOf(operator, 'output_padding', []);
    if (intsOf(operator, 'output_shape', null)) throw unsupported(operator, 'no output_shape', 'one');
    const image = dims(0).slice(2);
    const spread = image.map((n, i) => strides[i] * (n - 1) + (kernel[i] - 1) * dilations[i] + 1);
    return [dims(0)[0], channels * group, ...spread.map((n, i) => n - before[i] - after[i] + (extra[i] ?? 0))];
  },
  AveragePool: ({ operator, dims }) => {
    const [batch, channels, ...image] = dims(0);
    return [batch, channels, ...slid(operator, image, intsOf(operator, 'kernel_shape', []))];
  },
  Resize: ({ dims, ints, has }) => (has(3) ? ints(3) : dims(0).map((n, i) => Math.floor(n * ints(2)[i]))),

  Reshape: ({ dims, ints }) => reshaped(dims, ints(1)),
  Flatten: ({ operator, dims }) => {
    const axis = intOf(operator, 'axis', 1);
    return [sizeOf(dims(0).slice(0, axis)), sizeOf(dims(0).slice(axis))];
  },
  Expand: ({ dims, ints }) => broadcast(dims(0), ints(1)),
  Transpose: ({ operator, dims }) => permutation(operator, dims(0).length).map((axis) => dims(0)[axis]),
  Squeeze: ({ dims, ints, has }) => {
    const axes = has(1) ? normalAxes(ints(1), dims(0).length) : dims(0).flatMap((n, i) => (n === 1 ? [i] : []));
    return dims(0).filter((_, i) => !axes.includes(i));
  },
  Unsqueeze: ({ dims, ints }) => {
    const rest = [...dims(0)];
    const axes = normalAxes(ints(1), rest.length + ints(1).length);
    return Array.from({ length: rest.length + axes.length }, (_, i) => (axes.includes(i) ? 1 : rest.shift()!));
  },
  Concat: ({ operator, dims }) => {
    const axis = normalAxis(intOf(operator, 'axis', 0), dims(0).length);
    const total = operator.inputs.reduce((sum, _, i) => sum + dims(i)[axis], 0);
    return dims(0).map((n, i) => (i === axis ? total : n));
  },
  Split: ({ operator, output, dims, ints, has }) => {
    const axis = normalAxis(intOf(operator, 'axis', 0), dims(0).length);
    const part = Math.ceil(dims(0)[axis] / operator.outputs.length);
    const size = has(1) ? ints(1)[output] : Math.min(part, dims(0)[axis] - output * part);
    return dims(0).map((n, i) => (i === axis ? size : n));
  },
  Slice: ({ dims, ints, has }) => {
    const size = new Map(sliceRanges(dims(0), ints, has).map(({ axis, count }) => [axis, count]));
    return dims(0).map((n, i) => size.get(i) ?? n);
  },
  Pad: ({ dims, ints }) => dims(0).map((n, i) => n + ints(1)[i] + ints(1)[dims(0).length + i]),
  Gather: ({ operator, dims }) => {
    const axis = normalAxis(intOf(operator, 'axis', 0), dims(0).length);
    return [...dims(0).slice(0, axis), ...dims(1), ...dims(0).slice(axis + 1)];
  },

  ReduceMean: (known) => reduced(known),
  ReduceSum: (known) => reduced(known),
  ReduceSumSquare: (known) => reduced(known),
} satisfies Record<string, ShapeRule>;

/** The shape that two shapes broadcast to. */
export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [n, m] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    return n === 1 ? m : n;
  });
}

/** An axis counted from the front. */
export function normalAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

function normalAxes(axes: readonly number[], rank: number): number[] {
  return axes.map((axis) => normalAxis(axis, rank));
}

/** Where each axis of a Transpose comes from. */
export function permutation(operator: Operator, rank: number): readonly number[] {
  return intsOf(
    operator,
    'perm',
    Array.from({ length: rank }, (_, i) => rank - 1 - i),
  );
}

/** The axes of a reduction: an input in newer operators, an attribute in older ones. */
export function reducedAxes({ operator, dims, ints, has }: Omit<Known, 'output'>): number[] {
  const rank = dims(0).length;
  const given = has(1) ? ints(1) : intsOf(operator, 'axes', []);
  if (given.length > 0) return normalAxes(given, rank);
  return intOf(operator, 'noop_with_empty_axes', 0) ? [] : Array.from({ length: rank }, (_, i) => i);
}

function reduced(known: Known): number[] {
  const axes = reducedAxes(known);
  const keep = intOf(known.operator, 'keepdims', 1);
  return known.dims(0).flatMap((n, i) => (axes.includes(i) ? (keep ? [1] : []) : [n]));
}

/** What a Slice takes of an axis: `count` entries from `start` on, `step` apart. */
export interface Range {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** The ranges of a Slice, with negative and overlong bounds resolved. */
export function sliceRanges(
  shape: readonly number[],
  ints: (input: number) => readonly number[],
  has: (input: number) => boolean,
): Range[] {
  const [starts, ends] = [ints(1), ints(2)];
  const axes = has(3) ? normalAxes(ints(3), shape.length) : starts.map((_, i) => i);
  const steps = has(4) ? ints(4) : starts.map(() => 1);
  return axes.map((axis, i) => {
    const [n, step] = [shape[axis], steps[i]];
    const bound = (at: number, low: number, high: number) => Math.min(Math.max(at < 0 ? at + n : at, low), high);
    const [start, end] =
      step > 0
        ? [bound(starts[i], 0, n), bound(ends[i], 0, n)]
        : [bound(starts[i], 0, n - 1), bound(ends[i], -1, n - 1)];
    return { axis, start, step, count: Math.max(0, Math.ceil((end - start) / step)) };
  });
}

function slid(operator: Operator, image: readonly number[], kernel: readonly number[]): number[] {
  const { strides, dilations, before, after } = windowOf(operator, kernel);
  return image.map((n, i) => {
    const room = n + before[i] + after[i] - dilations[i] * (kernel[i] - 1) - 1;
    return Math.floor(room / strides[i]) + 1;
  });
}

function matrixProduct(a: readonly number[], b: readonly number[]): number[] {
  const rows = a.length > 1 ? [a[a.length - 2]] : [];
  const columns = b.length > 1 ? [b[b.length - 1]] : [];
  return [...broadcast(a.slice(0, -2), b.slice(0, -2)), ...rows, ...columns];
}

// 0 keeps a dimension, -1 takes what is left; the input's shape is looked at only for these
function reshaped(dims: (input: number) => readonly number[], shape: readonly number[]): number[] {
  const kept = shape.map((n, i) => (n === 0 ? dims(0)[i] : n));
  if (!kept.includes(-1)) return kept;
  return kept.map((n) => (n === -1 ? sizeOf(dims(0)) / -sizeOf(kept) : n));
}
