import { folderOf } from '#runtime';
import { type ModelFiles, prepareOnnx, readFolder, readOnnxFile } from './folder.ts';
import { openFolder } from './openFolder.ts';
import { placeOf } from './place.ts';
import type { LoadOptions } from './types.ts';

/** A model found: what to call it, and its parts. */
export interface FoundModel {
  readonly name: string;
  readonly files: ModelFiles;
}

/**
 * Reads the files of a model: a bundled one by name, a folder, an .onnx file with the JSON files beside it, a URL of any
 * of these, or the bytes of an .onnx file.
 *
 * @throws DdpmError `model-not-found`, `model-invalid`, `config-invalid`
 */
export async function findModel(source: string | URL | Uint8Array, options: LoadOptions = {}): Promise<FoundModel> {
  if (source instanceof Uint8Array) return { name: 'model', files: { network: await prepareOnnx(source, 'model') } };
  const { kind, place, name, title } = await placeOf(source);
  if (kind === 'folder') return { name: title, files: await readFolder(await openFolder(place, options)) };
  return { name: title, files: await readOnnxFile(await openFolder(folderOf(place), options), name) };
}
