import { folderOf, joinPlace, kindOf, readBytes } from '#runtime';
import { assertKeys, assertNumber } from '../core/assert.ts';
import { DdpmError, wrongKind } from '../core/errors.ts';
import { parseUNetConfig } from '../core/unetConfig.ts';
import { type Lora, mergeLora, readLora } from '../onnx/lora.ts';
import { readParameters } from '../onnx/namedParameters.ts';
import type { StoredTensor } from '../onnx/safetensors.ts';
import type { CheckpointFiles, ModelFiles } from './folder.ts';
import { tryReadJson } from './json.ts';
import { nameOf, pathOrUrl } from './place.ts';
import type { LoadOptions, LoraSource, ScaledLora } from './types.ts';

/** A model whose weights are a checkpoint's, and what was assumed about what was merged into them. */
export interface MergedFiles {
  readonly files: ModelFiles & { readonly network: CheckpointFiles };
  readonly notes: readonly string[];
}

/** How to read. */
interface ReadOptions {
  /** What messages call the model. */
  readonly name: string;
  readonly signal?: AbortSignal;
}

/**
 * The model with LoRAs merged into its weights, one after the other.
 *
 * @throws DdpmError `model-not-found`, `model-invalid` or `config-invalid` for a LoRA that cannot be read or is another
 * network's, and for a model whose weights have no names
 */
export async function mergeLoras(
  files: ModelFiles,
  lora: NonNullable<LoadOptions['lora']>,
  { name, signal }: ReadOptions,
): Promise<MergedFiles> {
  const list = (Array.isArray(lora) ? lora : [lora]).map(scaled);
  const read = await Promise.all(list.map(({ source }) => open(source, signal)));
  let tensors = namedWeights(files, name);
  for (const [i, { scale }] of list.entries()) tensors = mergeLora(tensors, read[i], scale);
  // what a bundle says is true of the model that is in it
  const { bundle: _, ...others } = files;
  return { files: { ...others, network: { kind: 'checkpoint', tensors } }, notes: read.flatMap(({ notes }) => notes) };
}

/**
 * The weights of a model by diffusers' names: a checkpoint's own, or those of an ONNX file that was converted from one.
 *
 * @throws DdpmError `model-not-found` for an ONNX file without a config.json, `model-invalid` for another one's
 */
export function namedWeights({ network, config }: ModelFiles, name: string): ReadonlyMap<string, StoredTensor> {
  if (network.kind === 'checkpoint') return network.tensors;
  if (!config)
    throw new DdpmError(
      'model-not-found',
      `${name}: expected a config.json, which says what its weights are, found none`,
    );
  return readParameters(network.bytes, parseUNetConfig(config).config, network.name);
}

function scaled(given: unknown): Required<ScaledLora> {
  const lora = isSource(given) ? { source: given } : given;
  if (typeof lora !== 'object' || lora === null || !('source' in lora) || !isSource(lora.source))
    throw wrongKind('lora', 'a path, a URL, bytes, or one of these as { source, scale }', given);
  assertKeys(lora, 'lora', ['source', 'scale']);
  const { source, scale = 1 }: ScaledLora = { ...lora, source: lora.source };
  assertNumber(scale, 'lora.scale');
  return { source, scale };
}

function isSource(value: unknown): value is LoraSource {
  return typeof value === 'string' || value instanceof URL || value instanceof Uint8Array;
}

// what peft calls the two files of an adapter
const ADAPTER = 'adapter_model.safetensors';
const ADAPTER_CONFIG = 'adapter_config.json';

async function open(source: LoraSource, signal?: AbortSignal): Promise<Lora> {
  if (source instanceof Uint8Array) return readLora(source);
  const place = pathOrUrl(source);
  const kind = await kindOf(place);
  if (kind === 'missing')
    throw new DdpmError('model-not-found', `${source}: expected a .safetensors file or a folder with one, found none`);
  const file = kind === 'file' ? place : joinPlace(place, ADAPTER);
  const name = nameOf(file);
  // beside a file of another name it may be that of another adapter
  const beside = name === ADAPTER ? joinPlace(folderOf(file), ADAPTER_CONFIG) : undefined;
  const config = beside && (await tryReadJson(beside, { signal, name: ADAPTER_CONFIG }));
  return readLora(await readBytes(file, { signal }), { file: name, config });
}
