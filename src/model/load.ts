import { assertInteger } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { findModel } from './find.ts';
import type { ModelFiles } from './folder.ts';
import type { JsonObject } from './json.ts';
import { type Classes, joinLabels } from './labels.ts';
import { readingOf } from './openFolder.ts';
import { type OpenOptions, openSession } from './session.ts';
import type { LoadOptions, Model, ModelSource, SessionDenoiser } from './types.ts';

/** A network ready to be opened, and how many class labels it knows. */
interface Graph {
  readonly bytes: Uint8Array;
  readonly open: OpenOptions;
  readonly notes: readonly string[];
  labelCount(denoiser: SessionDenoiser): number | undefined;
}

/**
 * Loads a network: a bundled model by name; a diffusers folder, whose weights become an ONNX graph on the way; a folder
 * with a model.onnx; an .onnx file, with the JSON files beside it; a .ddpm bundle, which has all in one file; an http(s)
 * URL of any of these; or the bytes of an .onnx or .ddpm file, or a stream of them.
 *
 * A bundled name wins over a folder of that name: `./fashion` is the folder. Only a string that starts with http:// or
 * https:// reaches the network.
 *
 * With `lora` the network is built anew from its weights and config.json, the LoRA merged into them.
 *
 * A files.json in a folder behind a URL lists its files, `{ "model.onnx": { "sha256": "..." }, ... }`: then nothing else is
 * asked for, and every download is checked.
 *
 * @throws DdpmError `model-not-found`, `model-invalid`, `config-invalid`, `device-unavailable`, `webgpu-unavailable`,
 * `out-of-memory`.
 */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  assertSize(options.size);
  const { name, files: found } = await findModel(source, options);
  const { files, notes } = await withLora(found, name, options);
  const graph = await graphOf(files, name, options);
  const denoiser = await openSession(graph.bytes, graph.open);
  try {
    assertSizeOf(denoiser, options.size);
    return modelOf(name, files, { denoiser, ...graph, notes: [...notes, ...graph.notes] });
  } catch (error) {
    await denoiser.dispose();
    throw error;
  }
}

async function withLora(
  files: ModelFiles,
  name: string,
  { lora, signal }: LoadOptions,
): Promise<{ files: ModelFiles; notes: readonly string[] }> {
  if (lora === undefined || (Array.isArray(lora) && lora.length === 0)) return { files, notes: [] };
  const { mergeLoras } = await import('./lora.ts');
  return mergeLoras(files, lora, { name, signal });
}

async function graphOf({ network, config }: ModelFiles, name: string, options: LoadOptions): Promise<Graph> {
  const { device, threads, wasmPaths, wasmModule, batch, size } = options;
  const session = { device, threads, wasmPaths, wasmModule, batch, reading: readingOf(options) };
  if (network.kind === 'onnx') {
    const open = { ...session, name: network.name, shape: shapeIn(config, size) };
    return {
      bytes: network.bytes,
      open: network.externalData.length > 0 ? { ...open, externalData: network.externalData } : open,
      notes: [],
      labelCount: ({ labelInput = '' }) => countIn(config) ?? network.embeddingSize(labelInput),
    };
  }
  const { convertCheckpoint } = await import('../onnx/convert.ts');
  const sized = size ? { ...config, sample_size: size } : config;
  const { bytes, classes, notes } = convertCheckpoint({ config: sized, weights: network.tensors });
  return { bytes, open: { ...session, name }, notes, labelCount: () => classes ?? undefined };
}

function modelOf(
  name: string,
  files: ModelFiles,
  { denoiser, notes, labelCount }: Graph & { denoiser: SessionDenoiser },
): Model {
  const { channels, height, width, outChannels } = denoiser.shape;
  if (channels === undefined || height === undefined || width === undefined || outChannels === undefined)
    throw wrongKind('size', `the height and width of an image, which ${name} leaves open`, undefined);
  const { config, schedulerConfig, labels, sampling } = files;
  const classes: Classes = denoiser.labelInput ? joinLabels(labels, labelCount(denoiser), name) : { classes: 0 };
  const unused = labels && !denoiser.labelInput ? ['labels.json is ignored: the network takes no class labels'] : [];
  return {
    name,
    denoiser,
    shape: [channels, height, width],
    outChannels,
    classes: classes.classes,
    labels: classes.labels,
    unconditional: classes.unconditional,
    sampling,
    config,
    schedulerConfig,
    bundle: files.bundle,
    device: denoiser.device,
    get notes() {
      return [...notes, ...denoiser.notes, ...unused];
    },
    dispose: () => denoiser.dispose(),
  };
}

/** Channels, height and width as the caller or config.json says them, for a graph that leaves them open. */
function shapeIn(config: JsonObject | undefined, size: LoadOptions['size']): (number | undefined)[] {
  const { in_channels: channels, sample_size: sample } = config ?? {};
  const given = size ?? (Array.isArray(sample) ? sample : [sample, sample]);
  return [channels, given[0], given[1]].map((n) =>
    Number.isInteger(n) && (n as number) > 0 ? (n as number) : undefined,
  );
}

function countIn(config: JsonObject | undefined): number | undefined {
  const count = config?.num_class_embeds;
  return Number.isInteger(count) && (count as number) > 0 ? (count as number) : undefined;
}

function assertSize(size: LoadOptions['size']): void {
  if (size === undefined) return;
  if (!Array.isArray(size) || size.length !== 2) throw wrongKind('size', 'two numbers, height and width', size);
  for (const side of size) assertInteger(side, 'size', 1, 16384);
}

/** Throws where the caller asks for a size that the graph does not have. */
function assertSizeOf({ shape: { height, width } }: SessionDenoiser, size: LoadOptions['size']): void {
  if (size && (size[0] !== height || size[1] !== width))
    throw wrongValue('size', `[${height}, ${width}], which the network is made for`, size);
}
