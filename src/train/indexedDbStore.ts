import { DdpmError, type ErrorCode, wrongKind, wrongValue } from '../core/errors.ts';
import type { CheckpointStore } from './store.ts';

/**
 * A store of checkpoints in the IndexedDB database `name`, which all pages and workers of an origin share. It is made
 * with the first use, and outlives reloads; a browser short of room may drop it unless `navigator.storage.persist()` was
 * granted. Each file is written or removed in one transaction, which is on the disk when it is done.
 *
 * @throws DdpmError `device-unavailable` where there is no IndexedDB; from its methods `output-failed` for what cannot
 * be written, as when the quota of the origin is exceeded, and `checkpoint-invalid` for what cannot be read
 * @example
 * train(config, { data, checkpoints: indexedDbStore('run'), resume: true });
 */
export function indexedDbStore(name: string): CheckpointStore {
  if (typeof name !== 'string') throw wrongKind('name', 'the name of a database', name);
  if (name === '') throw wrongValue('name', 'the name of a database', name);
  if (!('indexedDB' in globalThis))
    throw new DdpmError('device-unavailable', 'indexedDbStore needs a browser: in Node.js give a folder');
  const write = <T>(work: Work<T>) => transact(name, 'readwrite', work).then(() => {}, failure('output-failed', name));
  const read = <T>(work: Work<T>) => transact(name, 'readonly', work).catch(failure('checkpoint-invalid', name));
  return {
    name,
    // the copy has no more memory than its bytes, all of which would be stored
    write: (key, bytes) => write((files) => files.put(bytes.slice(), key)),
    remove: (key) => write((files) => files.delete(key)),
    read: (key) => read<Uint8Array<ArrayBuffer> | undefined>((files) => files.get(key)),
    list: async () => (await read((files) => files.getAllKeys())).map(String),
  };
}

type Work<T> = (files: IDBObjectStore) => IDBRequest<T>;

const table = 'files';

/** The result of one request, when the transaction of it is complete. */
async function transact<T>(name: string, mode: IDBTransactionMode, work: Work<T>): Promise<T> {
  const database = await open(name);
  try {
    return await new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(table, mode, { durability: 'strict' });
      const request = work(transaction.objectStore(table));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error ?? request.error);
    });
  } finally {
    database.close();
  }
}

function open(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(table);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function failure(code: ErrorCode, name: string) {
  return (cause: unknown): never => {
    const { name: kind, message } = (cause ?? {}) as Partial<DOMException>;
    const reason = kind === 'QuotaExceededError' ? 'no room is left for this site' : message || kind || 'aborted';
    const verb = code === 'output-failed' ? 'written' : 'read';
    throw new DdpmError(code, `database ${name} cannot be ${verb}: ${reason}`, { cause });
  };
}
