// What the page keeps in IndexedDB, and what page and worker tell each other.
import { indexedDbStore, listCheckpoints, type TrainingEvent } from 'ddpm-wasm/train';

/** Checkpoints, which the worker writes, and beside them what the page does. */
export const store = indexedDbStore('train-in-browser');

/** The side of a picture as it is kept: RGBA, so that size and background can be chosen later. */
export const side = 32;
export const pictureBytes = side * side * 4;

export type Bytes = Uint8Array<ArrayBuffer>;

export interface Settings {
  readonly size: number;
  readonly background: string;
  readonly steps: number;
  readonly device: 'auto' | 'webgpu' | 'wasm';
}

/** Samples as RGBA, one behind another. */
export interface Sheet {
  readonly images: Bytes;
  readonly step: number;
}

/** What the page asks of the worker. To look is to open a run where it stands, without going on. */
export type Order = 'look' | 'go' | 'pause' | 'download';

/** What the worker tells: what happens in training, how it ended, and the model where it was asked for. */
export type News =
  | Exclude<TrainingEvent, { type: 'checkpoint' }>
  | { readonly type: 'checkpoint'; readonly step: number }
  | { readonly type: 'ended'; readonly step: number; readonly complete: boolean }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'model'; readonly zip: Blob };

export const readPictures = async (): Promise<Bytes> => (await store.read('pictures')) ?? new Uint8Array(0);

export async function readSettings(): Promise<Partial<Settings>> {
  const bytes = await store.read('settings');
  return bytes ? JSON.parse(new TextDecoder().decode(bytes)) : {};
}

export function writeSettings(settings: Settings): Promise<void> {
  return store.write('settings', new TextEncoder().encode(JSON.stringify(settings)));
}

export async function readSheet(): Promise<Sheet | undefined> {
  const bytes = await store.read('sheet');
  return bytes && { step: new DataView(bytes.buffer).getUint32(0), images: bytes.slice(4) };
}

export function writeSheet({ images, step }: Sheet): Promise<void> {
  const bytes = new Uint8Array(4 + images.length);
  new DataView(bytes.buffer).setUint32(0, step);
  bytes.set(images, 4);
  return store.write('sheet', bytes);
}

/** Forgets what was trained, and keeps the pictures. */
export async function removeRun(): Promise<void> {
  for (const name of [...(await listCheckpoints(store)), 'sheet']) await store.remove(name);
}
