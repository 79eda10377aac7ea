import { mkdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { readBytes } from '#runtime';
import { DdpmError } from '../core/errors.ts';
import { sha256, toHex } from '../core/sha256.ts';
import { type BundleDtype, encodeBundle } from '../model/bundle.ts';
import type { FoundModel } from '../model/find.ts';
import { withOutputs } from './output.ts';

/** A model ready to be written. */
export interface Converted extends FoundModel {
  /** The ONNX file. */
  readonly onnx: Uint8Array;
  readonly dtype: BundleDtype;
}

/** What was written. */
export interface Written {
  /** The file that the network is in, and its size. */
  readonly file: string;
  readonly bytes: number;
  readonly files: readonly string[];
  /** Files of the user's that were not written over. */
  readonly kept: readonly string[];
}

/**
 * A folder, made where it is missing, with the graph and what describes it; a files.json lists them with their digests for
 * who loads the folder from a URL.
 */
export async function writeFolder(model: Converted, out: string): Promise<Written> {
  await makeFolder(out);
  const graph = { file: path.join(out, 'model.onnx'), content: model.onnx };
  const files = [...beside(model, out), graph];
  const written = await writeAll([...files, await listOf(files, out)], false);
  return { ...written, file: graph.file, bytes: model.onnx.length };
}

/** An .onnx file with what describes it beside it. */
export async function writeGraph(model: Converted, out: string): Promise<Written> {
  const files = [...beside(model, path.dirname(out)), { file: out, content: model.onnx }];
  return { ...(await writeAll(files, true)), file: out, bytes: model.onnx.length };
}

/** All in one file. */
export async function writeBundle(
  { name, files, folder, onnx, dtype }: Converted,
  out: string,
  { card, preview }: { card?: string; preview?: string },
): Promise<Written> {
  const { schedulerConfig: scheduler, config, labels, sampling, bundle } = files;
  // a file that is named must be there, one that is usual need not
  const read = async (named: string | undefined, usual: string) =>
    named === undefined ? folder?.read(usual) : readBytes(named);
  const text = await read(card, 'README.md');
  const bytes = await encodeBundle({
    ...{ name, network: onnx, dtype, scheduler, config, labels, sampling },
    card: text ? new TextDecoder().decode(text) : bundle?.card,
    preview: (await read(preview, 'samples.png')) ?? bundle?.preview,
  });
  return { ...(await writeAll([{ file: out, content: bytes }], false)), file: out, bytes: bytes.length };
}

interface OutputContent {
  readonly file: string;
  readonly content: Uint8Array | string;
}

/** The files of a folder that describe a network. */
function beside({ files: { config, schedulerConfig, labels, sampling, bundle } }: Converted, folder: string) {
  const json = (value: object | undefined) => value && `${JSON.stringify(value, null, 2)}\n`;
  const contents = {
    'config.json': json(config),
    'scheduler_config.json': json(schedulerConfig),
    'labels.json': json(labels),
    'sampling.json': json(sampling),
    'README.md': bundle?.card,
    'samples.png': bundle?.preview,
  };
  return Object.entries(contents).flatMap(([name, content]) =>
    content === undefined ? [] : { file: path.join(folder, name), content },
  );
}

async function listOf(files: readonly OutputContent[], folder: string): Promise<OutputContent> {
  const list: Record<string, { sha256: string }> = {};
  for (const { file, content } of files)
    list[path.basename(file)] = { sha256: toHex(await sha256(new Uint8Array(Buffer.from(content)))) };
  return { file: path.join(folder, 'files.json'), content: `${JSON.stringify(list, null, 2)}\n` };
}

/** Writes files whole; beside an .onnx file, a config of the user's that says something else is left alone. */
async function writeAll(files: readonly OutputContent[], careful: boolean) {
  const kept: string[] = [];
  for (const { file, content } of careful ? files.slice(0, -1) : []) {
    const there = await readFile(file).catch(() => undefined);
    if (there !== undefined && !there.equals(Buffer.from(content))) kept.push(file);
  }
  const chosen = files.filter(({ file }) => !kept.includes(file));
  await withOutputs(
    chosen.map(({ file }) => file),
    async (outputs) => {
      for (const [i, output] of outputs.entries()) await output?.finish(chosen[i].content);
    },
  );
  return { files: chosen.map(({ file }) => file), kept };
}

async function makeFolder(folder: string): Promise<void> {
  const parent = path.dirname(path.resolve(folder));
  if (!(await stat(parent).catch(() => undefined))?.isDirectory())
    throw new DdpmError('output-failed', `cannot write ${folder}: the folder ${parent} does not exist`);
  await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'EEXIST' ? 'it is a file' : error.message;
    throw new DdpmError('output-failed', `cannot write ${folder}: ${why}`);
  });
}
