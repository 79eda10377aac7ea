import { joinPlace } from '#runtime';
import { DdpmError, show } from '../core/errors.ts';
import { parseSamplingConfig, type SamplingConfig } from '../core/samplingConfig.ts';
import type { StoredTensor } from '../onnx/safetensors.ts';
import { showPlace } from '../runtime/http.ts';
import { type Inspection, inspectOnnx } from './inspect.ts';
import { type JsonObject, maxConfigBytes, parseJsonObject } from './json.ts';
import { type Labels, parseLabels } from './labels.ts';
import type { Folder } from './openFolder.ts';
import type { BundleInfo } from './types.ts';

/** The parts of a model, as its folder holds them. */
export interface ModelFiles {
  readonly network: OnnxFiles | CheckpointFiles;
  readonly config?: JsonObject;
  readonly schedulerConfig?: JsonObject;
  readonly labels?: Labels;
  readonly sampling?: SamplingConfig;
  /** What a bundle says beyond that. */
  readonly bundle?: BundleInfo;
}

/** An ONNX graph, with the weights that lie outside it. */
export interface OnnxFiles extends Omit<Inspection, 'externalFiles'> {
  readonly kind: 'onnx';
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
}

/** The weights of a diffusers checkpoint, which its config makes a graph of. */
export interface CheckpointFiles {
  readonly kind: 'checkpoint';
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Reads a folder: an ONNX graph, or a diffusers pipeline or model with its weights. */
export async function readFolder(folder: Folder): Promise<ModelFiles> {
  const [index, { configFolder, ...files }] = await Promise.all([json(folder, 'model_index.json'), describe(folder)]);
  if (index) assertPlainPipeline(index);
  const graphs = configFolder ? [`${configFolder}model.onnx`, 'model.onnx'] : ['model.onnx', 'unet/model.onnx'];
  const network = (await tryReadOnnx(folder, graphs)) ?? (await readCheckpoint(folder, configFolder));
  if (network.kind === 'checkpoint' && !files.config)
    throw new DdpmError(
      'model-not-found',
      `${showPlace(folder.place)}: expected a config.json beside the weights, found none`,
    );
  return { network, ...files };
}

/** Reads an .onnx file and what lies beside it. */
export async function readOnnxFile(folder: Folder, file: string): Promise<ModelFiles> {
  const [network, { configFolder: _, ...files }] = await Promise.all([tryReadOnnx(folder, [file]), describe(folder)]);
  return { network: network ?? missing(folder, file), ...files };
}

function missing({ place }: Folder, file: string): never {
  throw new DdpmError('model-not-found', `nothing at ${showPlace(joinPlace(place, file))}`);
}

/** The bytes of an .onnx file, checked and ready for a session. */
export async function prepareOnnx(bytes: Uint8Array, name: string, folder?: Folder): Promise<OnnxFiles> {
  const { externalFiles, ...inspected } = inspectOnnx(bytes, name);
  if (externalFiles.length > 0 && !folder)
    throw new DdpmError('model-invalid', `${name}: keeps weights in ${externalFiles[0]}: give the file's path or URL`);
  const externalData = [];
  for (const path of externalFiles)
    externalData.push({ path, data: (await folder!.read(path)) ?? missing(folder!, path) });
  return { kind: 'onnx', name, bytes, externalData, ...inspected };
}

/** The JSON files of a model. Components are in folders of their own, or else all at the root, as in old pipelines. */
async function describe(folder: Folder) {
  const names = [
    'unet/config.json',
    'config.json',
    'scheduler/scheduler_config.json',
    'scheduler_config.json',
    'labels.json',
    'sampling.json',
  ];
  const files = await Promise.all(names.map((name) => json(folder, name)));
  const [inUnet, atRoot, inScheduler, besideIt, labels, sampling] = files;
  return {
    configFolder: inUnet ? 'unet/' : '',
    config: inUnet ?? atRoot,
    schedulerConfig: inScheduler ?? besideIt,
    labels: labels && parseLabels(labels, 'labels.json'),
    sampling: sampling && parseSamplingConfig(sampling),
  };
}

async function json(folder: Folder, name: string): Promise<JsonObject | undefined> {
  const bytes = await folder.read(name, { maxBytes: maxConfigBytes });
  return bytes && parseJsonObject(bytes, name);
}

/** Refuses pipelines that are more than a UNet2DModel and a scheduler. */
function assertPlainPipeline(index: JsonObject): void {
  const parts = Object.entries(index)
    .filter(([key, value]) => !key.startsWith('_') && Array.isArray(value) && value.some((part) => part !== null))
    .map(([key, value]) => [key, String((value as unknown[])[1])]);
  const refuse = (what: string) =>
    new DdpmError('model-invalid', `model_index.json: expected a UNet2DModel and a scheduler, got ${what}`);
  const extra = parts.find(([key]) => key !== 'unet' && key !== 'scheduler');
  if (extra) throw refuse(`${show(index._class_name)} with ${show(extra[0])} (${extra[1]})`);
  const unet = parts.find(([key]) => key === 'unet');
  if (!unet) throw refuse('no "unet"');
  if (unet[1] !== 'UNet2DModel') throw refuse(unet[1]);
}

/** The first of several .onnx files that is there, with the weights that lie outside it. */
export async function tryReadOnnx(folder: Folder, names: readonly string[]): Promise<OnnxFiles | undefined> {
  for (const name of names) {
    const bytes = await folder.read(name);
    if (bytes) return prepareOnnx(bytes, name, folder);
  }
  return undefined;
}

async function readCheckpoint(folder: Folder, within: string): Promise<CheckpointFiles> {
  const { readWeights } = await import('../onnx/convert.ts');
  const read = async (name: string) => {
    // a pickle is asked for only to say that it is refused
    if (name.endsWith('.bin')) return (await folder.has(`${within}${name}`)) ? new Uint8Array() : undefined;
    return folder.read(`${within}${name}`);
  };
  try {
    return { kind: 'checkpoint', tensors: await readWeights(read) };
  } catch (error) {
    if (!(error instanceof DdpmError)) throw error;
    const others = error.code === 'model-not-found' ? 'no model.onnx, and ' : '';
    throw new DdpmError(error.code, `${showPlace(folder.place)}: ${others}${error.message}`, { cause: error });
  }
}
