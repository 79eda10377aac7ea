import { DdpmError, show, wrongKind } from '../core/errors.ts';
import { parseUNetConfig } from '../core/unetConfig.ts';
import type { WeightType } from './parameters.ts';
import { readSafetensors, type StoredTensor } from './safetensors.ts';
import { buildUNet, type UNetModel } from './unet2d.ts';

/** A diffusers checkpoint in memory. */
export interface Checkpoint {
  /** The parsed config.json. */
  readonly config: unknown;
  /** A safetensors file, or the tensors of one or several. */
  readonly weights: Uint8Array | ReadonlyMap<string, StoredTensor>;
  /** How the ONNX file stores weights; `fp32` by default. */
  readonly dtype?: WeightType;
  /** What messages call the two files. */
  readonly names?: { readonly config?: string; readonly weights?: string };
}

/** Reads a file of a checkpoint's folder by its bare name; undefined where there is none. */
export type ReadFile = (name: string) => Promise<Uint8Array | undefined>;

/**
 * The ONNX file of a diffusers UNet2DModel checkpoint.
 *
 * @throws DdpmError `config-invalid` or `model-invalid`, naming the file and the key or tensor
 */
export function convertCheckpoint({ config, weights, dtype = 'fp32', names = {} }: Checkpoint): UNetModel {
  const { config: configFile = 'config.json', weights: weightsFile = WEIGHTS } = names;
  if (!(weights instanceof Uint8Array || weights instanceof Map)) {
    throw wrongKind('weights', 'the bytes of a safetensors file, or a Map of tensors', weights);
  }
  const parsed = parseUNetConfig(config, configFile);
  const tensors = weights instanceof Uint8Array ? readSafetensors(weights, weightsFile) : weights;
  const model = buildUNet(parsed.config, tensors, { dtype, file: weightsFile });
  return { ...model, notes: [...parsed.notes, ...model.notes] };
}

/**
 * The ONNX file of the UNet2DModel in a folder, which `read` opens: `config.json` and
 * `diffusion_pytorch_model.safetensors`, whole or in shards.
 *
 * @throws DdpmError `model-not-found` for a folder without them, else as `convertCheckpoint`
 */
export async function convertFolder(read: ReadFile, { dtype }: { dtype?: WeightType } = {}): Promise<UNetModel> {
  const file = await read('config.json');
  if (!file)
    throw new DdpmError('model-not-found', 'config.json: expected the config of a UNet2DModel, got no such file');
  return convertCheckpoint({
    config: parseJson(file, 'config.json', 'config-invalid'),
    weights: await readWeights(read),
    dtype,
  });
}

/**
 * The weights of a checkpoint folder: `diffusion_pytorch_model.safetensors`, or the shards that
 * `diffusion_pytorch_model.safetensors.index.json` lists, or the fp16 variant.
 *
 * @throws DdpmError `model-not-found` where there are none, or only a pickle; `model-invalid` for a damaged file
 */
export async function readWeights(read: ReadFile): Promise<Map<string, StoredTensor>> {
  const whole = await read(WEIGHTS);
  if (whole) return readSafetensors(whole, WEIGHTS);
  const index = await read(INDEX);
  if (index) return readShards(parseJson(index, INDEX, 'model-invalid'), read);
  const half = await read(HALF_WEIGHTS);
  if (half) return readSafetensors(half, HALF_WEIGHTS);

  const advice = 'a Python pickle is not read: save it anew with safe_serialization=True';
  const found = (await read(PICKLE)) ? `only ${PICKLE}; ${advice}` : 'no such file';
  throw new DdpmError('model-not-found', `${WEIGHTS}: expected the weights of a UNet2DModel, got ${found}`);
}

const WEIGHTS = 'diffusion_pytorch_model.safetensors';
const INDEX = 'diffusion_pytorch_model.safetensors.index.json';
const HALF_WEIGHTS = 'diffusion_pytorch_model.fp16.safetensors';
const PICKLE = 'diffusion_pytorch_model.bin';
const MAX_SHARDS = 1000;

async function readShards(index: unknown, read: ReadFile): Promise<Map<string, StoredTensor>> {
  const tensors = new Map<string, StoredTensor>();
  for (const [shard, keys] of shardsOf(index)) {
    const file = await read(shard);
    if (!file)
      throw new DdpmError('model-not-found', `${shard}: expected a shard that ${INDEX} lists, got no such file`);
    const stored = readSafetensors(file, shard);
    for (const key of keys) {
      const tensor = stored.get(key);
      if (!tensor) throw invalid(`${shard}: expected tensor ${show(key)}, as ${INDEX} says, got no such tensor`);
      tensors.set(key, tensor);
    }
  }
  return tensors;
}

// the tensors of each shard; a shard's name comes from a file that is not trusted and must stay in the folder
function shardsOf(index: unknown): Map<string, string[]> {
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw invalid(`${INDEX}: "weight_map" expected an object, got ${show(map)}`);
  }
  const shards = new Map<string, string[]>();
  for (const [key, shard] of Object.entries(map)) {
    if (typeof shard !== 'string' || !/^\w[\w.-]*\.safetensors$/.test(shard) || shard.includes('..')) {
      throw invalid(`${INDEX}: tensor ${show(key)} expected a file name ending in .safetensors, got ${show(shard)}`);
    }
    const keys = shards.get(shard);
    if (keys) keys.push(key);
    else shards.set(shard, [key]);
  }
  if (shards.size > MAX_SHARDS) throw invalid(`${INDEX}: expected at most ${MAX_SHARDS} shards, got ${shards.size}`);
  return shards;
}

function parseJson(bytes: Uint8Array, file: string, code: 'config-invalid' | 'model-invalid'): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new DdpmError(code, `${file}: expected JSON, got bytes that are not`, { cause });
  }
}

function invalid(message: string): DdpmError {
  return new DdpmError('model-invalid', message);
}
