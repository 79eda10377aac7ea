import { kindOf, readBytes } from '#runtime';
import { assertInteger, assertKeys } from '../core/assert.ts';
import { DdpmError, wrongKind } from '../core/errors.ts';
import { showPlace } from '../runtime/http.ts';
import { decodeCheckpoint, encodeCheckpoint, type TrainingState } from './checkpointFormat.ts';
import { type CheckpointStore, folderStore } from './store.ts';

/** A checkpoint that was written. */
export interface SavedCheckpoint {
  readonly name: string;
  readonly bytes: number;
  /** What did not work and does no harm; each one line. */
  readonly notes: readonly string[];
}

/** A checkpoint that was read. */
export interface LoadedCheckpoint {
  readonly name: string;
  readonly state: TrainingState;
  /** Newer checkpoints that are damaged; each one line. */
  readonly notes: readonly string[];
}

/**
 * Adds a checkpoint to a folder, or another store, and removes all but the last `keep`.
 *
 * Nothing older is touched before the new one is safe on the disk, and a write that fails leaves no trace. The state is
 * copied before this returns its promise, so that training may go on meanwhile.
 *
 * @throws DdpmError `output-failed` where it cannot be written: the checkpoints before it are as they were
 */
export async function saveCheckpoint(
  place: string | URL | CheckpointStore,
  state: TrainingState,
  options: { readonly keep?: number } = {},
): Promise<SavedCheckpoint> {
  assertKeys(options, 'options', ['keep']);
  const { keep = 3 } = options;
  assertInteger(keep, 'keep', 1, Number.MAX_SAFE_INTEGER);
  const store = storeOf(place);
  const encoded = encodeCheckpoint(state);

  const [before, bytes] = await Promise.all([listCheckpoints(store), encoded]);
  const name = nameOf(before.length === 0 ? 1 : numberOf(before[before.length - 1]) + 1);
  await store.write(name, bytes);

  const notes: string[] = [];
  for (const old of before.slice(0, Math.max(before.length + 1 - keep, 0))) {
    // an old one that stays does no harm
    await store.remove(old).catch((error: Error) => notes.push(`${old} stays: ${error.message}`));
  }
  return { name, bytes: bytes.length, notes };
}

/**
 * The newest checkpoint in a folder, or another store, that can be read; damaged ones are passed over, with a note. Of a
 * file, the checkpoint in it.
 *
 * @throws DdpmError `checkpoint-invalid` where nothing can be read
 */
export async function loadCheckpoint(place: string | URL | CheckpointStore): Promise<LoadedCheckpoint> {
  if (isPlace(place) && (await isFile(place))) {
    const name = showPlace(place);
    return { name, state: await decodeCheckpoint(await readBytes(place), name), notes: [] };
  }
  const store = storeOf(place);
  const notes: string[] = [];
  for (const name of [...(await listCheckpoints(store))].reverse()) {
    try {
      const bytes = await store.read(name);
      if (bytes) return { name, state: await decodeCheckpoint(bytes, name), notes };
    } catch (error) {
      if (!(error instanceof DdpmError)) throw error;
      notes.push(error.message);
    }
  }
  const found = notes.length === 0 ? 'found none' : `found ${notes.length} that cannot be read: ${notes[0]}`;
  throw new DdpmError('checkpoint-invalid', `${store.name}: expected a training checkpoint, ${found}`);
}

/** The names of the checkpoints in a folder, or another store, oldest first. */
export async function listCheckpoints(place: string | URL | CheckpointStore): Promise<readonly string[]> {
  const names = await storeOf(place).list();
  return names.filter((name) => pattern.test(name)).sort((a, b) => numberOf(a) - numberOf(b));
}

// numbered as they were written: after going back to an older one, what is written next is still the newest
const pattern = /^checkpoint-(\d{6,12})\.msgpack$/;

function nameOf(number: number): string {
  return `checkpoint-${String(number).padStart(6, '0')}.msgpack`;
}

function numberOf(name: string): number {
  return Number(pattern.exec(name)?.[1]);
}

function storeOf(place: string | URL | CheckpointStore): CheckpointStore {
  if (isPlace(place)) return folderStore(place);
  if (typeof place?.write === 'function') return place;
  throw wrongKind('place', 'a folder or a store of checkpoints', place);
}

function isPlace(place: unknown): place is string | URL {
  return typeof place === 'string' || place instanceof URL;
}

// of a URL nothing but the name is known
async function isFile(place: string | URL): Promise<boolean> {
  return showPlace(place).endsWith('.msgpack') || (await kindOf(place)) === 'file';
}
