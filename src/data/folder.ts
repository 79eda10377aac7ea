import { joinPlace, openFile, readBytes } from '#runtime';
import { showPlace } from '../runtime/http.ts';
import { cifarFiles, openCifar } from './cifar.ts';
import { findFile } from './dataFile.ts';
import { isImageName, maxImageBytes } from './decode.ts';
import { naturalOrder } from './naturalOrder.ts';
import { type ImageSource, invalid } from './source.ts';
import { treeSource } from './tree.ts';

interface FolderOptions {
  readonly labels?: readonly string[];
  readonly signal?: AbortSignal;
}

/** The images of a folder: those of CIFAR's files if it holds them, else image files, a subfolder a class. */
export async function openFolder(
  folder: string | URL,
  paths: readonly string[],
  { labels, signal }: FolderOptions,
): Promise<ImageSource> {
  const batches = cifarFiles(paths).sort(naturalOrder);
  if (batches.length > 0 && !paths.some(isImageName)) {
    const files = await Promise.all(batches.map((name) => findFile(joinPlace(folder, name), signal)));
    const found = files.filter((file) => file !== undefined);
    return openCifar(found, folder, signal);
  }
  const read = (path: string) => () => readBytes(joinPlace(folder, path), { signal, maxBytes: maxImageBytes });
  const head = (path: string) => async (length: number) =>
    (await openFile(joinPlace(folder, path), { signal }))?.read(0, length) ?? new Uint8Array();
  const files = paths.map((path) => ({ path, read: read(path), head: head(path) }));
  const source = treeSource(files, labels);
  const other = paths.find((path) => /^[^/]*(ubyte|\.npy|\.safetensors|\.zip|\.bin)(\.gz)?$/.test(path));
  if (source.count === 0 && other !== undefined)
    throw invalid(showPlace(folder), 'a folder of images', `other data: name a file of it, such as ${other}`);
  return source;
}
