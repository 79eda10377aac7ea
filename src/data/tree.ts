import { decodePixels, isImageName, measureImage } from './decode.ts';
import { naturalOrder } from './naturalOrder.ts';
import type { ImageSource, StoredImage } from './source.ts';

/** A file of a folder or an archive. */
export interface TreeFile {
  /** Its path in there, with slashes. */
  readonly path: string;
  /** Its bytes, few enough to hold. */
  read(): Promise<Uint8Array>;
  /** Its first bytes: `length`, or more or fewer where that is less work. */
  head(length: number): Promise<Uint8Array>;
}

/**
 * The images among files, in natural order of their paths. The first folder of a path is the class; without folders
 * there are none. With `labels`, these are the classes, by index, and a folder of another name is a problem.
 */
export function treeSource(files: readonly TreeFile[], labels?: readonly string[]): ImageSource {
  const visible = files.filter(({ path }) => !isHidden(path)).sort((a, b) => naturalOrder(a.path, b.path));
  const images = visible.filter(({ path }) => isImageName(path));
  const folders = new Set(images.map(({ path }) => classOf(path)).filter((name) => name !== undefined));
  const classes = folders.size > 0 ? (labels ?? [...folders]) : undefined;
  const indices = classes && new Map(classes.map((name, i) => [name, i]));
  return {
    count: images.length,
    labels: classes,
    classes: classes?.length,
    notes: [
      ...notesOn(visible.filter(({ path }) => !isImageName(path))),
      ...(classes ? [] : ['no labels: the images are not in subfolders']),
    ],
    async *sizes(signal) {
      for (const file of images) {
        signal?.throwIfAborted();
        const size = await measureImage(file).catch(() => undefined);
        if (size) yield size;
      }
    },
    async *read(first, signal): AsyncGenerator<StoredImage> {
      for (const { path, read } of images.slice(first)) {
        const name = printable(path);
        const folder = classOf(path);
        const label = folder === undefined ? undefined : indices?.get(folder);
        if (indices && folder === undefined)
          yield { name, problem: 'expected a subfolder, which is the class, got an image beside the subfolders' };
        else if (indices && label === undefined)
          yield { name, problem: `expected a subfolder named by a label, got ${JSON.stringify(printable(folder!))}` };
        else yield await decoded(name, label, read, signal);
      }
    },
  };
}

async function decoded(
  name: string,
  label: number | undefined,
  read: () => Promise<Uint8Array>,
  signal?: AbortSignal,
): Promise<StoredImage> {
  try {
    return { name, label, image: await decodePixels(await read()) };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { name, problem: printable((error as Error).message) };
  }
}

function classOf(path: string): string | undefined {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : undefined;
}

/** Whether a file is no part of the data: archives made on macOS hold a second tree. */
export function isHidden(path: string): boolean {
  return path.split('/').some((name) => /^\.(?!\.?$)/.test(name) || name === '__MACOSX');
}

function notesOn(others: readonly TreeFile[]): string[] {
  if (others.length === 0) return [];
  const names = others.slice(0, 5).map(({ path }) => printable(path));
  const more = others.length > names.length ? `, and ${others.length - names.length} more` : '';
  return [`left out what is not named as an image: ${names.join(', ')}${more}`];
}

// names in an archive may hold anything, and are to fit on one line
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '\ufffd');
}
