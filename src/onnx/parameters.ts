import { DdpmError, show } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import type { GraphBuilder, Value } from './graph.ts';
import { encodeHalf } from './half.ts';
import { type StoredTensor, toFloat32 } from './safetensors.ts';

/** How an ONNX file stores weights; the network computes in float32 either way. */
export type WeightType = (typeof WEIGHT_TYPES)[number];

/** The names of the ways to store weights. */
export const WEIGHT_TYPES = ['fp32', 'fp16'] as const;

/** Where a network's parameters come from: a checkpoint, or the inputs of a training graph. */
export interface ParameterSource {
  /** Whether there is a parameter of that name. */
  has(key: string): boolean;
  /** The parameter of a diffusers state_dict key and shape, as a value of shape `as` (`shape` by default). */
  get(key: string, shape: readonly number[], as?: readonly number[]): Value;
}

/** The tensors of a checkpoint as constants of a graph, under today's names or those of older checkpoints. */
export class CheckpointParameters implements ParameterSource {
  /** What was done that the caller may want to know. */
  readonly notes: string[] = [];
  private readonly used = new Set<string>();

  constructor(
    private readonly g: GraphBuilder,
    private readonly tensors: ReadonlyMap<string, StoredTensor>,
    private readonly dtype: WeightType,
    private readonly file: string,
  ) {}

  has(key: string): boolean {
    return this.find(key) !== undefined;
  }

  /** @throws DdpmError `model-invalid` for a tensor that is missing or of another shape */
  get(key: string, shape: readonly number[], as: readonly number[] = shape): Value {
    const tensor = this.find(key);
    const expected = `${this.file}: tensor ${show(key)} expected shape [${shape.join(', ')}]`;
    if (!tensor) throw new DdpmError('model-invalid', `${expected}, got no such tensor`);
    if (!sameNumbers(tensor.shape, shape)) {
      throw new DdpmError('model-invalid', `${expected}, got [${tensor.shape.join(', ')}]`);
    }
    for (const name of namesOf(key)) this.used.add(name);

    // vectors (biases, norms) are small and enter sums directly: they stay exact
    if (this.dtype === 'fp16' && shape.length > 1) {
      if (tensor.dtype === 'F16') return this.g.halfs(key, as, tensor.data);
      const values = toFloat32(tensor);
      if (values.every((x) => Math.abs(x) < 65520)) return this.g.halfs(key, as, encodeHalf(values));
      this.notes.push(`${this.file}: tensor ${show(key)} exceeds float16 and is kept as float32`);
    }
    return this.g.floats(key, as, toFloat32(tensor));
  }

  /** A note on the tensors of the checkpoint that nothing asked for, if there are any. */
  noteUnused(): void {
    const unused = [...this.tensors.keys()].filter((key) => !this.used.has(key)).sort();
    if (unused.length === 0) return;
    const first = unused.slice(0, 3).map(show).join(', ');
    const rest = unused.length > 3 ? ', ...' : '';
    const count = unused.length === 1 ? '1 tensor is' : `${unused.length} tensors are`;
    this.notes.push(`${this.file}: ${count} not part of the network: ${first}${rest}`);
  }

  private find(key: string): StoredTensor | undefined {
    const name = storedName(this.tensors, key);
    return name === undefined ? undefined : this.tensors.get(name);
  }
}

/** The name that tensors keep a parameter under: today's, or that of older checkpoints. */
export function storedName(tensors: ReadonlyMap<string, unknown>, key: string): string | undefined {
  return namesOf(key).find((name) => tensors.has(name));
}

/**
 * A network's parameters as parts of one vector, which a training graph takes as an input: `values` are what `gradients`
 * is asked for, and `join` lays the answers out as the vector is.
 */
export class VectorParameters implements ParameterSource {
  /** The parameters in the vector's order, which is that of `shapes`. */
  readonly values: readonly Value[];
  private readonly indices: ReadonlyMap<string, number>;

  /** @param vector float32, of as many numbers as all `shapes` together */
  constructor(
    private readonly g: GraphBuilder,
    vector: Value,
    private readonly shapes: ReadonlyMap<string, readonly number[]>,
  ) {
    this.indices = new Map([...shapes.keys()].map((key, i) => [key, i]));
    let end = 0;
    // a Slice for each: one Split into hundreds of results is more than WebGPU binds
    this.values = [...shapes].map(([key, shape]) => {
      const start = end;
      end += sizeOf(shape);
      const bounds = [[start], [end], [0]].map((list) => g.intVector(list));
      return g.op('Reshape', [g.op('Slice', [vector, ...bounds]), g.intVector(shape)], {}, key);
    });
  }

  has(key: string): boolean {
    return this.shapes.has(key);
  }

  /** @throws DdpmError `model-invalid` for a parameter that the vector has not, or has in another shape */
  get(key: string, shape: readonly number[], as: readonly number[] = shape): Value {
    const own = this.shapes.get(key);
    if (own?.join() !== shape.join()) {
      const got = own ? `[${own.join(', ')}]` : 'no such parameter';
      throw new DdpmError('model-invalid', `parameter ${show(key)} expected shape [${shape.join(', ')}], got ${got}`);
    }
    const value = this.values[this.indices.get(key)!];
    return as === shape ? value : this.g.op('Reshape', [value, this.g.intVector(as)]);
  }

  /** One vector of values that have the parameters' shapes, in their order. */
  join(values: readonly Value[]): Value {
    const flat = this.g.intVector([-1]);
    return this.g.op(
      'Concat',
      values.map((value) => this.g.op('Reshape', [value, flat])),
      { axis: 0 },
    );
  }
}

// names that older versions of diffusers gave to the same parameter
const OLD_NAMES: readonly (readonly [today: RegExp, before: string])[] = [
  [/(\.attentions\.\d+)\.to_q\./, '$1.query.'],
  [/(\.attentions\.\d+)\.to_k\./, '$1.key.'],
  [/(\.attentions\.\d+)\.to_v\./, '$1.value.'],
  [/(\.attentions\.\d+)\.to_out\.0\./, '$1.proj_attn.'],
  [/(samplers\.0)\.conv\./, '$1.Conv2d_0.'],
  [/(downsamplers\.0)\.conv\./, '$1.op.'],
  [/^time_proj\.weight$/, 'time_proj.W'],
];

function namesOf(key: string): string[] {
  return [key, ...OLD_NAMES.filter(([today]) => today.test(key)).map(([today, before]) => key.replace(today, before))];
}

/**
 * Whether a tensor of one shape holds the numbers of another: old attention layers were 1x1 convolutions, or matrices
 * where a convolution is meant.
 */
export function sameNumbers(a: readonly number[], b: readonly number[]): boolean {
  return squeezed(a) === squeezed(b);
}

function squeezed(shape: readonly number[]): string {
  return shape.join(',').replace(/(,1)+$/, '');
}
