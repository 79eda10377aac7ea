import { sizeOf } from '../core/tensor.ts';
import type { GraphBuilder } from './graph.ts';
import type { Shapes } from './shapes.ts';
import { ELEMENT_TYPES, type ElementType, type Operator, type Value } from './values.ts';

/** Makes the gradient of one operand; not called where none is asked for. */
export type Gradient = () => Value;

/** The gradients of an operator's operands, in their order; null where it does not depend on one smoothly. */
export type Rule = (step: Step) => readonly (Gradient | null)[];

/** One operator on the way back, and the arithmetic that its rule is written in. */
export interface Step extends Arithmetic {
  readonly g: GraphBuilder;
  readonly operator: Operator;
  /** The operands. */
  readonly x: readonly Value[];
  /** The result, the first if there are several. */
  readonly y: Value;
  /** The gradient of the result. */
  readonly dy: Value;
  /** The gradients of all results, zeros where the loss does not depend on one. */
  readonly dys: readonly Value[];
  /** The shape of a value. */
  dims(value: Value): readonly number[];
  /** The element type of a value. */
  typeOf(value: Value): ElementType;
  /** The numbers of an operand that is a constant. */
  ints(input: number): readonly number[];
  /** Whether an operand is given. */
  has(input: number): boolean;
  /** The operator of that type that gives `value`, unless the gradient of `value` itself is asked for or stops there. */
  inner(value: Value, type: string): Operator | undefined;
}

/** Operators as functions. */
export type Arithmetic = ReturnType<typeof arithmetic>;

/** Operators as functions, all of them among those that onnxruntime-web runs on WebGPU. */
export function arithmetic(g: GraphBuilder, shapes: Shapes) {
  const one = (type: string) => (x: Value) => g.op(type, [x]);
  const two = (type: string) => (a: Value, b: Value) => g.op(type, [a, b]);
  const mul = two('Mul');
  const dims = (x: Value) => shapes.dims(x);
  const transpose = (x: Value, perm: readonly number[]) => g.op('Transpose', [x], { perm });
  const reshape = (x: Value, shape: readonly number[]) =>
    equal(dims(x), shape) ? x : g.op('Reshape', [x, g.intVector(shape)]);
  return {
    ...{ add: two('Add'), sub: two('Sub'), mul, div: two('Div'), pow: two('Pow'), matmul: two('MatMul') },
    ...{ neg: one('Neg'), exp: one('Exp'), log: one('Log'), sin: one('Sin'), cos: one('Cos'), sqrt: one('Sqrt') },
    ...{ sigmoid: one('Sigmoid'), equals: two('Equal'), less: two('Less'), greater: two('Greater') },
    number: (value: number) => g.scalar(value),
    times: (x: Value, factor: number) => (factor === 1 ? x : mul(x, g.scalar(factor))),
    where: (condition: Value, a: Value, b: Value) => g.op('Where', [condition, a, b]),
    toFloat: (x: Value) => g.op('Cast', [x], { to: ELEMENT_TYPES.float32 }),
    concat: (values: readonly Value[], axis: number) =>
      values.length === 1 ? values[0] : g.op('Concat', values, { axis }),
    expand: (x: Value, shape: readonly number[]) =>
      equal(dims(x), shape) ? x : g.op('Expand', [x, g.intVector(shape)]),
    reshape,
    transpose,
    /** Swaps the last two axes. */
    flip: (x: Value) => {
      const axes = dims(x).map((_, i) => i);
      return transpose(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
    },
    /** The sum over some axes, which stay with length 1. */
    sum: (x: Value, axes: readonly number[]) => g.op('ReduceSum', [x, g.intVector(axes)], { keepdims: 1 }),
    mean: (x: Value, axes: readonly number[]) => g.op('ReduceMean', [x], { axes, keepdims: 1 }),
    slice: (x: Value, part: Part) => g.op('Slice', [x, ...sliceBounds(part).map((list) => g.intVector(list))]),
    /** Zeros before and after each axis. */
    pad: (x: Value, before: readonly number[], after: readonly number[]) =>
      [...before, ...after].every((n) => n === 0) ? x : g.op('Pad', [x, g.intVector([...before, ...after])]),
    /** The product of two matrices, transposed first or not. */
    gemm: (a: Value, b: Value, { transA = 0, transB = 0 }: { transA?: number; transB?: number } = {}) =>
      g.op('Gemm', [a, b], { transA, transB }),
    /** Takes `x`, of a shape that `shape` was broadcast to, back to it: the only place where broadcasting is undone. */
    unbroadcast: (x: Value, shape: readonly number[]) => {
      const from = dims(x);
      const lead = from.length - shape.length;
      const axes = from.flatMap((n, i) => (i < lead || (shape[i - lead] === 1 && n !== 1) ? [i] : []));
      if (axes.length === 0) return x;
      // sums over axes of length 1 are none
      const summed = axes.some((i) => from[i] !== 1) ? g.op('ReduceSum', [x, g.intVector(axes)], { keepdims: 0 }) : x;
      return reshape(summed, shape);
    },
  };
}

/** `count` entries of each of some axes from `start` on, `step` apart, which may be backwards. */
export interface Part {
  readonly axes: readonly number[];
  readonly start: readonly number[];
  readonly count: readonly number[];
  readonly step?: readonly number[];
}

function sliceBounds({ axes, start, count, step = axes.map(() => 1) }: Part): (readonly number[])[] {
  const ends = start.map((first, i) => {
    const end = first + step[i] * (count[i] - 1) + Math.sign(step[i]);
    // -1 would be the last entry, not the one before the first
    return end < 0 ? -(2 ** 31) : end;
  });
  return [start, ends, axes, step];
}

/** Whether two shapes are the same. */
function equal(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** Numbers from 0 on. */
export function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

/** The product of a shape's dimensions from `start` up to `end`. */
export function span(shape: readonly number[], start: number, end = shape.length): number {
  return sizeOf(shape.slice(start, end));
}
