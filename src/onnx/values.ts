import { TensorProto_DataType as DataType } from './onnx_pb.ts';

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

/** Bytes of an element. */
export const ELEMENT_BYTES = {
  float32: 4,
  uint8: 1,
  int8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
  float16: 2,
  float64: 8,
} as const;

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

/** A value of a graph, by its name: what an operator gives and another takes. */
export type Value = string;

/** An operator of a graph; absent inputs are ''. */
export interface Operator {
  readonly name: string;
  readonly type: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** An input or output of a graph; a dimension given by name is free. */
export interface Declared {
  readonly name: Value;
  readonly type: ElementType;
  readonly dims: readonly (number | string)[];
}

/** A constant tensor of a graph: little-endian bytes in C order. */
export interface Constant {
  readonly name: Value;
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly data: Uint8Array;
}

/** What a graph declares itself to be. */
export interface ModelInfo {
  /** Version of the ai.onnx operators, 17 by default. */
  readonly opset?: number;
  /** Key and value pairs kept in the file, written in order of their keys. */
  readonly metadata?: Readonly<Record<string, string>>;
}
