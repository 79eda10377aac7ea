import { joinPlace } from '#runtime';
import { type DataFile, findFile } from './dataFile.ts';
import { recordSource } from './records.ts';
import { type ImageSource, invalid } from './source.ts';

const side = 32;
const plane = side * side;

/** CIFAR's binary versions: a record is its labels, a byte each and the last the finest, then three planes of 32x32. */
const versions = [
  { name: 'CIFAR-10', labelBytes: 1, classes: 10, names: 'batches.meta.txt' },
  { name: 'CIFAR-100', labelBytes: 2, classes: 100, names: 'fine_label_names.txt' },
] as const;

/** Whether a file can be of CIFAR: its records have no mark, so its length has to tell. */
export function hasCifarLength({ size = 0 }: DataFile): boolean {
  return versions.some(({ labelBytes }) => size > 0 && size % (labelBytes + 3 * plane) === 0);
}

/** The files of CIFAR's training images among those of a folder. */
export function cifarFiles(names: readonly string[]): string[] {
  const batches = names.filter((name) => /^data_batch_\d+\.bin$/.test(name));
  return batches.length > 0 ? batches : names.filter((name) => name === 'train.bin');
}

/**
 * The images of files of CIFAR-10's or CIFAR-100's binary version, with the class names of batches.meta.txt or
 * fine_label_names.txt beside them.
 */
export async function openCifar(
  files: readonly DataFile[],
  folder: string | URL,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const version =
    versions.find(({ labelBytes }) => (files[0].size ?? 0) % (labelBytes + 3 * plane) === 0) ?? versions[0];
  const { labelBytes, classes } = version;
  const bytes = labelBytes + 3 * plane;
  const images = files.map((file) => {
    const { name, size = 0, gzipped } = file;
    if (gzipped) throw invalid(name, `a ${version.name} file`, 'a gzipped one, whose length is not known: unpack it');
    if (size === 0 || size % bytes !== 0)
      throw invalid(name, `a multiple of ${bytes} bytes, the record of ${version.name}`, size);
    return { file, begin: 0, bytes, count: size / bytes };
  });
  const { labels, notes } = await readNames(joinPlace(folder, version.names), classes, signal);
  return recordSource({
    images,
    size: { width: side, height: side, channels: 3 },
    labels,
    classes,
    notes,
    decode: (record) => ({
      image: { data: interleaved(record.subarray(labelBytes)), width: side, height: side, channels: 3 },
      label: record[labelBytes - 1],
    }),
  });
}

/** Planes of red, green and blue as pixels. */
function interleaved(planes: Uint8Array): Uint8Array {
  const data = new Uint8Array(3 * plane);
  for (let i = 0, at = 0; i < plane; i++) for (let c = 0; c < 3; c++, at++) data[at] = planes[c * plane + i];
  return data;
}

const mostNameBytes = 2 ** 16;

async function readNames(place: string | URL, classes: number, signal?: AbortSignal) {
  const file = await findFile(place, signal);
  if (!file) return { notes: [] };
  const text = new TextDecoder().decode(await file.head(mostNameBytes));
  const labels = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (labels.length === classes) return { labels, notes: [] };
  return { notes: [`${file.name}: left out, for it has ${labels.length} names and not ${classes}`] };
}
