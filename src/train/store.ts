import { joinPlace, listFiles, removeFile, tryRead, writeFile } from '#runtime';

/** Where checkpoints are kept: files by name. */
export interface CheckpointStore {
  /** What messages call it. */
  readonly name: string;
  /** Keeps bytes under a name, whole or not at all; when this is done they are safe. */
  write(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** The bytes of a name, or undefined if there are none. */
  read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** All names, in any order; none where nothing was ever written. */
  list(): Promise<readonly string[]>;
  /** Removes a name and its bytes; nothing happens where there are none. */
  remove(name: string): Promise<void>;
}

/** A store in a folder, which is made with the first file. */
export function folderStore(folder: string | URL): CheckpointStore {
  return {
    name: String(folder),
    write: (name, bytes) => writeFile(joinPlace(folder, name), bytes),
    read: (name) => tryRead(joinPlace(folder, name)),
    list: async () => (await listFiles(folder)) ?? [],
    remove: (name) => removeFile(joinPlace(folder, name)),
  };
}
