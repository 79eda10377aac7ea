import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ZipWriter } from '@zip.js/zip.js';
import { expect } from 'vitest';
import type { ImageBatch } from '../../src/core/dataset.ts';
import { DdpmError } from '../../src/core/errors.ts';
import { type Dataset, type DatasetOptions, openDataset } from '../../src/data/index.ts';
import type { Pixels } from '../../src/image/pixels.ts';
import { encodePng } from '../../src/image/png.ts';

/** An idx file of unsigned bytes. */
export function idx(shape: readonly number[], data: Uint8Array = bytesOf(shape)): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * shape.length));
  header.setUint32(0, 0x800 + shape.length);
  for (const [axis, n] of shape.entries()) header.setUint32(4 + 4 * axis, n);
  return Buffer.concat([new Uint8Array(header.buffer), data]);
}

/** An .npy file of version 1, as NumPy writes it. */
export function npy(descr: string, shape: readonly number[], data: Uint8Array, order = 'False'): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const literal = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${tuple}, }`;
  const text = `${literal.padEnd(Math.ceil((literal.length + 11) / 64) * 64 - 11)}\n`;
  const length = Uint8Array.of(text.length & 255, text.length >> 8);
  return Buffer.concat([Uint8Array.of(0x93), Buffer.from('NUMPY\x01\x00'), length, Buffer.from(text), data]);
}

/** Bytes that differ from their neighbours, as many as a shape has elements. */
export function bytesOf(shape: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: shape.reduce((size, n) => size * n, 1) }, (_, i) => (i * 7919) >> 3);
}

/** An image of one colour. */
export function plain(width: number, height: number, ...colour: number[]): Pixels {
  const data = Uint8Array.from({ length: width * height * colour.length }, (_, i) => colour[i % colour.length]);
  return { data, width, height, channels: colour.length as Pixels['channels'] };
}

/** A PNG file of one colour. */
export function png(width: number, height: number, ...colour: number[]): Uint8Array {
  return encodePng(plain(width, height, ...colour));
}

/** A zip archive of files by name. */
export async function zip(files: Readonly<Record<string, Uint8Array>>, options = {}): Promise<Uint8Array> {
  const stream = new TransformStream<Uint8Array, Uint8Array>();
  const bytes = new Response(stream.readable).arrayBuffer();
  const writer = new ZipWriter(stream.writable, { useWebWorkers: false });
  for (const [name, data] of Object.entries(files)) await writer.add(name, new Blob([data.slice()]).stream(), options);
  await writer.close();
  return new Uint8Array(await bytes);
}

/** Writes files below a folder, which is given back. */
export function write(folder: string, files: Readonly<Record<string, Uint8Array | string>>): string {
  for (const [name, data] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), data);
  }
  return folder;
}

/** All that a dataset yields, as one batch. */
export async function all(dataset: Dataset): Promise<ImageBatch & { data: Uint8Array; labels: Int32Array }> {
  const batches: ImageBatch[] = [];
  for await (const batch of dataset) {
    expect(batch.shape).toEqual([batch.shape[0], ...dataset.shape]);
    expect(batch.data.length).toBe(batch.shape.reduce((size, n) => size * n, 1));
    batches.push(batch);
  }
  return {
    data: new Uint8Array(Buffer.concat(batches.map(({ data }) => data))),
    shape: [batches.reduce((sum, { shape }) => sum + shape[0], 0), ...dataset.shape],
    labels: Int32Array.from(batches.flatMap(({ labels }) => [...(labels ?? [])])),
  };
}

/** Opens and reads a dataset to its end. */
export async function readAll(source: string | URL, options?: DatasetOptions) {
  const dataset = await openDataset(source, options);
  return { dataset, ...(await all(dataset)) };
}

/** The error with which reading a dataset ends; it has a code and one line. */
export async function failure(source: string | URL, options?: DatasetOptions): Promise<DdpmError> {
  const error: unknown = await readAll(source, options).then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(DdpmError);
  expect((error as DdpmError).message).not.toMatch(/\n/);
  return error as DdpmError;
}
