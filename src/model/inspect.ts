import { DdpmError, show } from '../core/errors.ts';
import { isExternal, type OnnxGraph, type OnnxTensor, readGraph } from './onnxFile.ts';

/** What an ONNX file tells only to one who parses it. */
export interface Inspection {
  /** Files beside it that hold weights. */
  readonly externalFiles: readonly string[];
  /** The names of its outputs. */
  readonly outputs: readonly string[];
  /** How many labels the embedding holds that an input indexes, or undefined if there is none to be found. */
  embeddingSize(input: string): number | undefined;
  /** Whether an operator of the graph gives a value of this name. */
  computes(value: string): boolean;
}

// a graph of one file for each weight is conceivable, one with more is not
const maxExternalFiles = 10_000;

/** Parses an ONNX file; weights stay where they are. @throws DdpmError `model-invalid` if it is none. */
export function inspectOnnx(bytes: Uint8Array, name: string): Inspection {
  const graph = parse(bytes, name);
  if (!graph?.nodes.length) throw new DdpmError('model-invalid', `${name}: not an ONNX model, or damaged`);
  return {
    externalFiles: externalFiles(graph, name),
    outputs: graph.outputs,
    embeddingSize: (input) => embeddingSize(graph, input),
    computes: (value) => value !== '' && graph.nodes.some(({ outputs }) => outputs.includes(value)),
  };
}

function parse(bytes: Uint8Array, name: string): OnnxGraph | undefined {
  if (new TextDecoder().decode(bytes.subarray(0, 40)).startsWith('version https://git-lfs'))
    throw new DdpmError('model-invalid', `${name}: a Git LFS pointer, not the file itself: run "git lfs pull"`);
  try {
    return readGraph(bytes);
  } catch {
    return undefined;
  }
}

/** The places that tensors refer to, which must be inside the model's folder. */
function externalFiles({ initializers, nodes }: OnnxGraph, name: string): string[] {
  const places = [...initializers, ...nodes.flatMap(({ tensors }) => tensors)].filter(isExternal).map(locationOf);
  const distinct = [...new Set(places)];
  if (distinct.length > maxExternalFiles)
    throw new DdpmError(
      'model-invalid',
      `${name}: expected at most ${maxExternalFiles} weight files, got ${distinct.length}`,
    );
  const outside = distinct.find((place) => !isInside(place));
  if (outside !== undefined)
    throw new DdpmError('model-invalid', `${name}: expected weight files in its own folder, got ${show(outside)}`);
  return distinct;
}

function locationOf({ externalData }: OnnxTensor): string {
  return externalData.get('location') ?? '';
}

/** Whether a relative path or URL stays in its folder on every platform. */
export function isInside(place: string): boolean {
  return !/[\\:%\0]/.test(place) && place.split('/').every((part) => !['', '.', '..'].includes(part));
}

// what may stand between an input or a weight and the lookup, without changing how many rows there are
const passing = ['Cast', 'Identity', 'Squeeze', 'Unsqueeze', 'Reshape', 'Flatten', 'DequantizeLinear'];

function embeddingSize({ initializers, nodes }: OnnxGraph, input: string): number | undefined {
  const weights = new Map(initializers.map((tensor) => [tensor.name, tensor]));
  const indices = new Set([input]);
  // nodes come in topological order
  for (const { opType, inputs, outputs } of nodes) {
    if (passing.includes(opType)) {
      const weight = weights.get(inputs[0]);
      if (indices.has(inputs[0])) indices.add(outputs[0]);
      if (weight) weights.set(outputs[0], weight);
    }
    if (opType === 'Gather' && indices.has(inputs[1])) {
      const rows = weights.get(inputs[0])?.dims[0];
      if (rows !== undefined) return rows;
    }
  }
  return undefined;
}
