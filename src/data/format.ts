import { folderOf, listFiles } from '#runtime';
import { DdpmError } from '../core/errors.ts';
import { showPlace } from '../runtime/http.ts';
import { isSafetensors, openNpy, openSafetensors } from './arrays.ts';
import { hasCifarLength, openCifar } from './cifar.ts';
import { type DataFile, findFile } from './dataFile.ts';
import { imageKind } from './decode.ts';
import { openFolder } from './folder.ts';
import { hex, isIdx, openIdx } from './idx.ts';
import { isNpy } from './npy.ts';
import { type ImageSource, invalid, ofDataset } from './source.ts';
import { openZip } from './zip.ts';

interface FormatOptions {
  readonly labels?: readonly string[];
  readonly signal?: AbortSignal;
}

/** Opens whatever is at a place, told by its content. */
export async function openSource(place: string | URL, options: FormatOptions): Promise<ImageSource> {
  const { labels, signal } = options;
  const paths = await ofDataset(() => listFiles(place, { signal }));
  if (paths) return openFolder(place, paths, options);
  const file = await findFile(place, signal);
  if (!file) throw new DdpmError('dataset-not-found', `nothing at ${showPlace(place)}`);

  // CIFAR's files have no mark, and may begin as any other does by chance
  const isBin = /\.bin(\.gz)?$/i.test(file.name);
  if (isBin && hasCifarLength(file)) return openCifar([file], folderOf(place), signal);
  const head = await file.head(16);
  if (isIdx(head)) return openIdx(file, place, signal);
  if (isNpy(head)) return openNpy(file, place, signal);
  if (isSafetensors(head) && !file.gzipped) return openSafetensors(file);
  if (head[0] === 0x50 && head[1] === 0x4b && !file.gzipped) return openZip(file, labels);
  if (isBin) return openCifar([file], folderOf(place), signal);
  throw unknown(file, head);
}

function unknown({ name, gzipped }: DataFile, head: Uint8Array): DdpmError {
  const kind = imageKind(head);
  if (head.length === 0) return invalid(name, 'a dataset', 'an empty file');
  if (kind) return invalid(name, 'a dataset', `a single ${kind} image: name its folder`);
  if (/idx\d|ubyte/.test(name))
    return invalid(name, 'an idx file, which begins 00 00 08 and the number of axes', hex(head));
  if (head[0] === 0x80)
    return invalid(name, 'a dataset', 'a Python pickle, which is not read: CIFAR has a binary version');
  return invalid(
    name,
    'a folder or zip archive of images, an idx, .npy or .safetensors file, or a CIFAR .bin file',
    `${gzipped ? 'gzip of ' : ''}bytes that begin ${hex(head)}`,
  );
}
