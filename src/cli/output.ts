import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { DdpmError } from '../core/errors.ts';
import { unwritable } from '../runtime/nodeWrite.ts';

/**
 * A file that appears whole or not at all: written beside its place and renamed over it when it is done.
 *
 * It is opened before the work begins, so that a folder that cannot be written is known at once.
 */
export class OutputFile {
  readonly path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;

  private constructor(target: string, temporary: string, handle: FileHandle) {
    this.path = target;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  /** @throws DdpmError `output-failed` when nothing can be written there. */
  static async open(target: string): Promise<OutputFile> {
    const folder = path.dirname(target);
    const status = await stat(folder).catch(() => undefined);
    if (!status) throw failed(target, `the folder ${folder} does not exist`);
    if (!status.isDirectory()) throw failed(target, `${folder} is not a folder`);
    if ((await stat(target).catch(() => undefined))?.isDirectory()) throw failed(target, 'it is a folder');
    const temporary = path.join(folder, `.${path.basename(target)}.${process.pid}.tmp`);
    try {
      return new OutputFile(target, temporary, await open(temporary, 'w'));
    } catch (error) {
      throw unwritable(target, error);
    }
  }

  /** Writes the content and puts the file in its place. */
  async finish(content: Uint8Array | string): Promise<void> {
    try {
      await this.#handle.writeFile(content);
      await this.#handle.close();
      await rename(this.#temporary, this.path);
    } catch (error) {
      await this.discard();
      throw unwritable(this.path, error);
    }
  }

  /** Leaves nothing behind. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }
}

/** Opens several outputs for `work` and discards those that it did not finish. */
export async function withOutputs<T>(
  targets: readonly (string | undefined)[],
  work: (files: (OutputFile | undefined)[]) => Promise<T>,
): Promise<T> {
  const files: (OutputFile | undefined)[] = [];
  try {
    for (const target of targets) files.push(target === undefined ? undefined : await OutputFile.open(target));
    return await work(files);
  } catch (error) {
    await Promise.all(files.map((file) => file?.discard()));
    throw error;
  }
}

function failed(target: string, why: string): DdpmError {
  return new DdpmError('output-failed', `cannot write ${target}: ${why}`);
}
