import { DdpmError, show } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import { parseAdapterConfig, scaleOf } from './loraConfig.ts';
import { sameNumbers, storedName } from './parameters.ts';
import { asStored, readSafetensors, type StoredTensor, safetensorsMetadata, toFloat32 } from './safetensors.ts';

/**
 * A change of low rank to the weight of one layer (Hu et al. 2022): scale * B A, where A is [rank, in, ...kernel] and B
 * [out, rank, 1...]. Linear layers have matrices of both, convolutions give A their kernel.
 */
export interface LoraLayer {
  readonly a: Tensor;
  readonly b: Tensor;
  /** alpha / rank in general. */
  readonly scale: number;
}

/** Changes of low rank to a network. */
export interface Lora {
  /** What messages call it. */
  readonly name: string;
  /** By diffusers' name of the layer, such as `mid_block.attentions.0.to_q`. */
  readonly layers: ReadonlyMap<string, LoraLayer>;
  /** What was assumed; each one line. */
  readonly notes: readonly string[];
}

/** The metadata of a safetensors file under which diffusers keeps the adapter_config.json. */
export const ADAPTER_METADATA = 'lora_adapter_metadata';

/** What peft puts before the names of all layers. */
export const PEFT_PREFIX = 'base_model.model.';

/**
 * Reads a LoRA as peft and diffusers write it: tensors `NAME.lora_A.weight` and `NAME.lora_B.weight`, with
 * `base_model.model.` or `unet.` before them or nothing.
 *
 * @param bytes a safetensors file
 * @param options.config the object in the adapter_config.json beside it; by default what the file's own metadata say,
 * and without either alpha is taken for the rank
 * @throws DdpmError `model-invalid` for tensors that are no pairs of low rank; `config-invalid` for a config that says
 * more than this computes
 */
export function readLora(bytes: Uint8Array, { file = 'lora', config }: { file?: string; config?: unknown } = {}): Lora {
  const said = config ?? metadataConfig(bytes, file);
  const adapter = parseAdapterConfig(said ?? {}, config === undefined ? file : 'adapter_config.json');
  const pairs = new Map<string, { a?: Tensor; b?: Tensor }>();
  for (const [key, tensor] of readSafetensors(bytes, file)) {
    const [, layer, which] = /^(?:base_model\.model\.|unet\.)?(.+)\.lora_([AB])\.weight$/.exec(key) ?? [];
    if (layer === undefined) throw invalid(`${file}: expected tensors .lora_A.weight and .lora_B.weight`, show(key));
    if (!FLOATS.includes(tensor.dtype)) throw invalid(`${file}: tensor ${show(key)} expected floats`, tensor.dtype);
    const pair = pairs.get(layer) ?? {};
    const part = which === 'A' ? 'a' : 'b';
    if (pair[part]) throw invalid(`${file}: expected each layer once`, `${show(layer)} twice`);
    pairs.set(layer, { ...pair, [part]: { data: toFloat32(tensor), shape: tensor.shape } });
  }
  if (pairs.size === 0) throw invalid(`${file}: expected tensors .lora_A.weight and .lora_B.weight`, 'none');

  const layers = new Map<string, LoraLayer>();
  for (const [layer, { a, b }] of pairs) {
    const rank = rankOf(`${file}: layer ${show(layer)}`, a, b);
    layers.set(layer, { a: a!, b: b!, scale: scaleOf(adapter, rank) });
  }
  const assumed = adapter.lora_alpha === undefined ? [`${file}: says no alpha, which is taken for the rank`] : [];
  return { name: file, layers, notes: assumed };
}

/**
 * The parameters of a network with a LoRA merged into them, as float32 where it changes them: W + strength * scale * B A.
 *
 * @param tensors under today's names or those of older checkpoints, which they keep
 * @throws DdpmError `model-invalid` for a layer that the network has not, or has in another shape
 */
export function mergeLora(
  tensors: ReadonlyMap<string, StoredTensor>,
  { name, layers }: Lora,
  strength = 1,
): Map<string, StoredTensor> {
  const merged = new Map(tensors);
  for (const [layer, { a, b, scale }] of layers) {
    const key = storedName(tensors, `${layer}.weight`);
    if (key === undefined) throw invalid(`${name}: expected layers of the network`, show(layer));
    const weight = tensors.get(key)!;
    const { shape } = weight;
    const fits = b.shape[0] === shape[0] && sameNumbers(a.shape.slice(1), shape.slice(1));
    if (shape.length < 2 || !fits) {
      const change = `[${[b.shape[0], ...a.shape.slice(1)].join(', ')}]`;
      throw invalid(`${name}: layer ${show(layer)} expected a change of shape [${shape.join(', ')}]`, change);
    }
    const data = addProduct(toFloat32(weight), { a, b, scale: strength * scale });
    merged.set(key, asStored({ data, shape }));
  }
  return merged;
}

/** W + scale * B A, summed in float64. */
export function addProduct(weight: Float32Array, { a, b, scale }: LoraLayer): Float32Array {
  const [rank, ...inner] = a.shape;
  const width = sizeOf(inner);
  const sums = new Float64Array(width);
  const result = new Float32Array(weight.length);
  for (let row = 0; row < weight.length / width; row++) {
    sums.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b.data[row * rank + k];
      for (let i = 0; i < width; i++) sums[i] += factor * a.data[k * width + i];
    }
    for (let i = 0; i < width; i++) result[row * width + i] = weight[row * width + i] + scale * sums[i];
  }
  return result;
}

const FLOATS: readonly string[] = ['F64', 'F32', 'F16', 'BF16'];

// more than a layer of the widest network has; the product takes time in proportion to it
const MAX_RANK = 4096;

function rankOf(what: string, a: Tensor | undefined, b: Tensor | undefined): number {
  if (!a || !b) throw invalid(`${what} expected both lora_A and lora_B`, `only lora_${a ? 'A' : 'B'}`);
  const [rank] = a.shape;
  const matrices = a.shape.length === 2 && b.shape.length === 2;
  const kernels = a.shape.length === 4 && b.shape.length === 4 && b.shape[2] === 1 && b.shape[3] === 1;
  const good = (matrices || kernels) && b.shape[1] === rank && rank <= MAX_RANK && sizeOf([...a.shape, ...b.shape]) > 0;
  if (good) return rank;
  const expected = `A [rank, in] and B [out, rank], or both with a kernel, that of B 1x1, rank at most ${MAX_RANK}`;
  throw invalid(`${what} expected ${expected}`, `[${a.shape.join(', ')}] and [${b.shape.join(', ')}]`);
}

function metadataConfig(bytes: Uint8Array, file: string): unknown {
  const text = safetensorsMetadata(bytes, file).get(ADAPTER_METADATA);
  if (text === undefined) return undefined;
  try {
    // diffusers' pipelines write whose adapter it is before every key
    return JSON.parse(text.replaceAll('"unet.', '"'));
  } catch (cause) {
    throw new DdpmError('config-invalid', `${file}: metadata ${show(ADAPTER_METADATA)} expected JSON`, { cause });
  }
}

// `got` is text of ours or passed through show
function invalid(expected: string, got: string): DdpmError {
  return new DdpmError('model-invalid', `${expected}, got ${got}`);
}
