import { DdpmError } from '../core/errors.ts';
import type { GraphBuilder } from './graph.ts';
import { type Attribute, ELEMENT_TYPES, type ElementType, type Operator, type Value } from './values.ts';

/** An integer attribute. */
export function intOf({ attributes }: Operator, name: string, fallback: number): number {
  const value = attributes[name];
  return typeof value === 'number' ? value : fallback;
}

/** A list of integers. */
export function intsOf<T>({ attributes }: Operator, name: string, fallback: T): readonly number[] | T {
  const value = attributes[name];
  return isInts(value) ? value : fallback;
}

/** A float attribute. */
export function floatOf({ attributes }: Operator, name: string, fallback: number): number {
  const value = attributes[name];
  return typeof value === 'object' && 'float' in value && typeof value.float === 'number' ? value.float : fallback;
}

/** A text attribute. */
export function textOf({ attributes }: Operator, name: string, fallback: string): string {
  const value = attributes[name];
  return typeof value === 'string' ? value : fallback;
}

function isInts(value: Attribute | undefined): value is readonly number[] {
  return typeof value === 'object' && !('float' in value);
}

/** The type that a Cast makes. */
export function castType(operator: Operator): ElementType {
  const to = intOf(operator, 'to', 0);
  const found = (Object.keys(ELEMENT_TYPES) as ElementType[]).find((type) => ELEMENT_TYPES[type] === to);
  if (!found) throw unsupported(operator, 'the number of an element type as "to"', to);
  return found;
}

/** The numbers of a constant; undefined for a value that is computed. */
export function constantNumbers(g: GraphBuilder, value: Value): number[] | undefined {
  const constant = g.constant(value);
  if (!constant) return undefined;
  const { type, data } = constant;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  switch (type) {
    case 'int64':
      return Array.from({ length: data.length / 8 }, (_, i) => Number(view.getBigInt64(8 * i, true)));
    case 'int32':
      return Array.from({ length: data.length / 4 }, (_, i) => view.getInt32(4 * i, true));
    case 'float32':
      return Array.from({ length: data.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
    default:
      return undefined;
  }
}

/** The kernel of a convolution or a pooling over the images' axes, every attribute given. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Pads before each axis and after it. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly group: number;
}

/** @param kernel the sizes of the kernel, where the operator itself need not say */
export function windowOf(operator: Operator, kernel: readonly number[]): Window {
  const rank = kernel.length;
  const autoPad = textOf(operator, 'auto_pad', 'NOTSET');
  if (autoPad !== 'NOTSET' && autoPad !== 'VALID') throw unsupported(operator, 'pads that are given', autoPad);
  if (intOf(operator, 'ceil_mode', 0)) throw unsupported(operator, 'ceil_mode 0', 1);
  const pads = intsOf(operator, 'pads', Array(2 * rank).fill(0));
  return {
    kernel,
    strides: intsOf(operator, 'strides', Array(rank).fill(1)),
    dilations: intsOf(operator, 'dilations', Array(rank).fill(1)),
    before: pads.slice(0, rank),
    after: pads.slice(rank),
    group: intOf(operator, 'group', 1),
  };
}

/** An error about an operator that is known in other forms only. */
export function unsupported({ name, type }: Operator, expected: string, got: unknown): DdpmError {
  return new DdpmError('model-invalid', `${name}: ${type} expected ${expected}, got ${String(got)}`);
}
