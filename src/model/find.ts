import { folderOf, readBytes } from '#runtime';
import { assertInteger } from '../core/assert.ts';
import { type ByteSource, collectBytes } from '../core/collect.ts';
import { maxFileBytes } from '../runtime/http.ts';
import { isBundle } from './bundleLayout.ts';
import { type ModelFiles, prepareOnnx, readFolder, readOnnxFile } from './folder.ts';
import { type Folder, openFolder, readingOf } from './openFolder.ts';
import { placeOf } from './place.ts';
import type { LoadOptions, ModelSource } from './types.ts';

/** A model found: what to call it, and its parts. */
export interface FoundModel {
  readonly name: string;
  readonly files: ModelFiles;
  /** The folder that they are in, of those that are in one. */
  readonly folder?: Folder;
}

/**
 * Reads the files of a model: a bundled one by name, a folder, an .onnx file with the JSON files beside it, a .ddpm
 * bundle, a URL of any of these, or the bytes of an .onnx or .ddpm file, or a stream of them.
 *
 * @throws DdpmError `model-not-found`, `model-invalid`, `config-invalid`
 */
export async function findModel(source: ModelSource, options: LoadOptions = {}): Promise<FoundModel> {
  const { signal, maxBytes = maxFileBytes } = options;
  assertInteger(maxBytes, 'maxBytes', 1, maxFileBytes);
  if (source instanceof Uint8Array) return fromBytes(source);
  if (isStream(source)) return fromBytes(await collectBytes(source, { name: 'model', maxBytes, signal }));
  const { kind, place, name, title } = await placeOf(source, ['.onnx', '.ddpm']);
  // the digests of a bundle are in it, so no files.json is asked for
  if (kind === 'file' && name.toLowerCase().endsWith('.ddpm'))
    return fromBundle(await readBytes(place, { ...readingOf(options), maxBytes }), name);
  const folder = await openFolder(kind === 'folder' ? place : folderOf(place), options);
  const files = kind === 'folder' ? await readFolder(folder) : await readOnnxFile(folder, name);
  return { name: title, files, folder };
}

async function fromBytes(bytes: Uint8Array): Promise<FoundModel> {
  if (isBundle(bytes)) return fromBundle(bytes, 'model');
  return { name: 'model', files: { network: await prepareOnnx(bytes, 'model') } };
}

/** A bundle knows its name. Who loads something else does not load what reads it. */
async function fromBundle(bytes: Uint8Array, name: string): Promise<FoundModel> {
  const { unpackBundle } = await import('./unpackBundle.ts');
  const files = await unpackBundle(bytes, name);
  return { name: files.bundle.name, files };
}

function isStream(source: ModelSource): source is ByteSource {
  return typeof source === 'object' && source !== null && ('getReader' in source || Symbol.asyncIterator in source);
}
