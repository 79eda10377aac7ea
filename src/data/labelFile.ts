import { folderOf, joinPlace } from '#runtime';
import { type DataFile, findFile } from './dataFile.ts';

/**
 * The file of labels beside one of images, by the naming of MNIST: the same name with `labels` for `images` and `idx1`
 * for `idx3` or `idx4`, gzipped or not. A note says if there is none.
 */
export async function findLabels(
  place: string | URL,
  signal?: AbortSignal,
): Promise<{ file?: DataFile; notes: readonly string[] }> {
  const name = fileNameOf(place);
  const plain = name
    .replace(/images/i, 'labels')
    .replace(/idx[34]/i, 'idx1')
    .replace(/\.gz$/i, '');
  if (!/images/i.test(name))
    return { notes: ['no labels: those of a file named ...images... are read from ...labels...'] };
  const names = name.endsWith('.gz') ? [`${plain}.gz`, plain] : [plain, `${plain}.gz`];
  for (const candidate of names) {
    const file = await findFile(joinPlace(folderOf(place), candidate), signal);
    if (file) return { file, notes: [] };
  }
  return { notes: [`no labels: there is no ${names.join(' or ')} beside ${name}`] };
}

/** The last part of a path or URL. */
export function fileNameOf(place: string | URL): string {
  const path = place instanceof URL ? place.pathname : place;
  const name = path.replace(/[\\/]+$/, '').replace(/.*[\\/]/, '');
  return place instanceof URL && place.protocol === 'file:' ? decodeURIComponent(name) : name;
}
