import { open } from 'node:fs/promises';
import { tryRead, writeFile } from '#runtime';
import { unwritable } from '../runtime/nodeWrite.ts';
import type { BegunEvent, EvaluationEvent, HistoryEntry, RecordEvent } from '../train/events.ts';

/** A file of JSON lines that grows with a run. */
export interface Metrics {
  add(event: RecordEvent | EvaluationEvent): Promise<void>;
  /** Returns when all lines are safe on the disk. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a metrics file with the lines up to where a run begins. Which they are the checkpoint knows; what lies past it,
 * or was torn when a process was killed, is left out, and a line that is missing is told by the checkpoint.
 *
 * @throws DdpmError `output-failed`
 */
export async function openMetrics(file: string, { history }: Pick<BegunEvent, 'history'>): Promise<Metrics> {
  const known = await readLines(file);
  const kept = history.map(typed).map((event) => known.get(keyOf(event)) ?? JSON.stringify(event));
  await writeFile(file, new TextEncoder().encode(kept.map((line) => `${line}\n`).join('')));
  const named = <T>(work: Promise<T>) =>
    work.catch((error) => {
      throw unwritable(file, error);
    });
  const handle = await named(open(file, 'a'));
  return {
    add: async (event) => void (await named(handle.appendFile(`${JSON.stringify(event)}\n`))),
    flush: () => named(handle.sync()),
    close: () => handle.close(),
  };
}

/** The lines of a file by what they are about; those that are not whole are left out. */
async function readLines(file: string): Promise<Map<string, string>> {
  const text = new TextDecoder().decode(await tryRead(file));
  const lines = text.split('\n').map((line) => [keyOf(parsed(line)), line] as const);
  return new Map(lines);
}

function parsed(line: string): { readonly type?: unknown; readonly step?: unknown } {
  try {
    return JSON.parse(line) ?? {};
  } catch {
    return {};
  }
}

function keyOf({ type, step }: { readonly type?: unknown; readonly step?: unknown }): string {
  return `${type} ${step}`;
}

// a checkpoint keeps the numbers of an event without its name
function typed(entry: HistoryEntry) {
  return { type: 'heldOut' in entry ? 'evaluation' : 'record', ...entry };
}
