import { bundledModel, bundledNames, folderOf, kindOf } from '#runtime';
import { DdpmError, wrongKind, wrongValue } from '../core/errors.ts';
import { isHttp } from '../runtime/http.ts';

/** What a model's file may end in: the graph, or the bundle of all. */
export type Ending = '.onnx' | '.ddpm';

/** Where a model is. */
export interface Place {
  readonly kind: 'file' | 'folder';
  readonly place: string | URL;
  /** The last part of the path: of a file with its ending. */
  readonly name: string;
  /** What to call the model: of a file without the ending. */
  readonly title: string;
}

/**
 * What a bundled name, a path or a URL leads to: a folder or a file with one of the endings. A bundled name wins over a
 * folder of that name; only a string that starts with http:// or https:// is a URL.
 *
 * @throws DdpmError `model-not-found`, or `model-invalid` for another kind of file.
 */
export async function placeOf(source: string | URL, endings: readonly Ending[] = ['.onnx']): Promise<Place> {
  if (typeof source !== 'string' && !(source instanceof URL))
    throw wrongKind('source', `a path, a URL, a bundled name or the bytes of an ${endings.join(' or ')} file`, source);
  if (source === '') throw wrongValue('source', 'a path, a URL or a bundled name', source);
  const bundled = typeof source === 'string' ? await bundledModel(source) : undefined;
  const place = bundled ?? pathOrUrl(source);
  const name = nameOf(place);
  const kind = await kindOf(place);
  if (kind === 'missing')
    throw new DdpmError('model-not-found', `${source}: expected a file, a folder${await bundledList()}, found none`);
  if (kind === 'file' && !endings.some((ending) => name.toLowerCase().endsWith(ending))) throw otherFile(name, endings);
  return { kind, place, name, title: kind === 'file' ? fileTitle(place) : name };
}

/** A string that starts with http:// or https:// as a URL. */
export function pathOrUrl(source: string | URL): string | URL {
  if (source instanceof URL || !isHttp(source)) return source;
  if (!URL.canParse(source)) throw wrongValue('source', 'a URL', source);
  return new URL(source);
}

/** The last part of a path or URL. */
export function nameOf(place: string | URL): string {
  // what is asked of a server stays as it is written
  const path = place instanceof URL ? (isHttp(place.href) ? place.pathname : decodeURI(place.pathname)) : place;
  return path.split(/[/\\]/).findLast((part) => part !== '' && part !== '.') ?? 'model';
}

/** A file's name without the ending; a model.onnx is known by its folder. */
function fileTitle(place: string | URL): string {
  const title = nameOf(place).slice(0, -5);
  return title === 'model' ? nameOf(folderOf(place)) : title;
}

function otherFile(name: string, endings: readonly Ending[]): DdpmError {
  const advice = /\.safetensors$/i.test(name) ? ': give the folder that it is in, with its config.json' : '';
  return new DdpmError('model-invalid', `${name}: expected an ${endings.join(' or ')} file or a folder${advice}`);
}

async function bundledList(): Promise<string> {
  const names = await bundledNames();
  return names.length > 0 ? ` or a bundled model (${names.join(', ')})` : '';
}
