import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import * as node from '../../src/runtime/node.ts';
import { runBundled } from './support.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'ddpm-node-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = path.join(folder, 'a file.bin');
writeFileSync(file, Uint8Array.of(1, 2, 3));

async function failure(promise: Promise<unknown>): Promise<DdpmError> {
  const error = await promise.catch((error) => error);
  expect(error).toBeInstanceOf(DdpmError);
  return error as DdpmError;
}

describe('files', () => {
  it('are read by path and by file: URL', async () => {
    for (const place of [file, path.relative('.', file), pathToFileURL(file)])
      expect(await node.readBytes(place)).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('that do not exist are model-not-found, or undefined for tryRead', async () => {
    const missing = path.join(folder, 'nothing');
    expect(await failure(node.readBytes(missing))).toMatchObject({
      code: 'model-not-found',
      message: `nothing at ${missing}`,
    });
    expect(await node.tryRead(missing)).toBeUndefined();
    expect(await node.tryRead(path.join(file, 'below a file'))).toBeUndefined();
  });

  it('that are folders, devices or impossible names are model-not-found', async () => {
    for (const place of [folder, '/dev/zero', 'a\0b', 'x'.repeat(5000)])
      expect((await failure(node.readBytes(place))).code).toBe('model-not-found');
  });

  it('larger than asked for are refused before they are read', async () => {
    const error = await failure(node.readBytes(file, { maxBytes: 2 }));
    expect(error.message).toBe(`${file}: expected at most 2 bytes, got 3`);
  });

  it('are not read once the signal is aborted', async () => {
    await expect(node.readBytes(file, { signal: AbortSignal.abort() })).rejects.toHaveProperty('name', 'AbortError');
  });

  it('are told from folders', async () => {
    expect(await node.kindOf(file)).toBe('file');
    expect(await node.kindOf(pathToFileURL(folder))).toBe('folder');
    expect(await node.kindOf(path.join(folder, 'nothing'))).toBe('missing');
    expect(await node.exists(file)).toBe(true);
    expect(await node.exists(folder)).toBe(false);
  });

  it('are read in parts, which end with the file', async () => {
    const { size, read } = (await node.openFile(file))!;
    expect(size).toBe(3);
    expect(await read(1, 2)).toEqual(Uint8Array.of(2));
    expect(await read(1, 100)).toEqual(Uint8Array.of(2, 3));
    expect(await read(3, 100)).toEqual(new Uint8Array());
    expect(await node.openFile(path.join(folder, 'nothing'))).toBeUndefined();
    expect((await failure(node.openFile(folder))).message).toBe(`${folder}: not a file`);
  });

  it('of a folder are listed with those below it, hidden ones apart', async () => {
    const top = path.join(folder, 'top');
    for (const name of ['b/c', '.hidden']) mkdirSync(path.join(top, name), { recursive: true });
    for (const name of ['a', 'b/c/d', '.e', '.hidden/f']) writeFileSync(path.join(top, name), '');
    expect((await node.listFiles(top))?.sort()).toEqual(['a', 'b/c/d']);
    expect(await node.listFiles(pathToFileURL(top))).toHaveLength(2);
    expect(await node.listFiles(file)).toBeUndefined();
    expect(await node.listFiles(path.join(folder, 'nothing'))).toBeUndefined();
    await expect(node.listFiles(top, { signal: AbortSignal.abort() })).rejects.toHaveProperty('name', 'AbortError');
  });

  it('are joined to and taken from folders', () => {
    expect(node.joinPlace(folder, 'unet/x')).toBe(path.join(folder, 'unet', 'x'));
    expect(node.folderOf(file)).toBe(folder);
    expect(String(node.joinPlace('https://host/m?key=1', 'unet/x'))).toBe('https://host/m/unet/x?key=1');
    expect(String(node.folderOf('https://host/m/x.onnx?key=1'))).toBe('https://host/m/?key=1');
  });
});

describe('bundled models', () => {
  it('are the folders of models/, by exact name', async () => {
    for (const name of await node.bundledNames()) expect(existsSync((await node.bundledModel(name))!)).toBe(true);
    for (const name of ['', '.', '..', '../models', 'no-such']) expect(await node.bundledModel(name)).toBeUndefined();
  });
});

const nativeFolder = path.dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
const cudaLibrary = path.join(
  nativeFolder,
  `bin/napi-v6/${process.platform}/${process.arch}/libonnxruntime_providers_cuda.so`,
);

const engineBytes = new URL('../../src/runtime/engineBytes.ts', import.meta.url);

describe.skipIf(!existsSync(engineBytes))('compileEngine', () => {
  it('compiles the embedded engine once; it needs nothing from outside', async () => {
    const module = await node.compileEngine();
    expect(WebAssembly.Module.imports(module)).toEqual([]);
    expect(WebAssembly.Module.exports(module)).toContainEqual({ name: 'memory', kind: 'memory' });
    expect(await node.compileEngine()).toBe(module);
  });
});

describe('loadOrt', () => {
  it('gives the native package for cpu, without copies, and the wasm package with', async () => {
    expect(await node.loadOrt('cpu')).toMatchObject({ device: 'cpu', zeroCopy: true, notes: [] });
    expect(await node.loadOrt('wasm')).toMatchObject({ device: 'wasm', zeroCopy: false, notes: [] });
  });

  it.skipIf(existsSync(cudaLibrary))('names the library that CUDA lacks, and what to do', async () => {
    const error = await failure(node.loadOrt('cuda'));
    expect(error.code).toBe('device-unavailable');
    expect(error.message).toMatch(
      /^cuda: \S*onnxruntime_providers_cuda\S* is not in .*; to download it run "node script/,
    );
    expect(await node.autoDevices()).toEqual({ devices: ['cpu'], passedOver: [] });
  });

  it('gives WebGPU, or says in one line why not', async () => {
    const result = await node.loadOrt('webgpu').catch((error) => error);
    if (result instanceof Error) {
      expect(result).toHaveProperty('code', 'webgpu-unavailable');
      expect(result.message).toMatch(/^webgpu: [^\n]+$/);
    } else expect(result).toMatchObject({ device: 'webgpu', zeroCopy: true });
  });
});

describe('without onnxruntime-node', () => {
  it('cpu runs on onnxruntime-web, with a note, and webgpu is unavailable', async () => {
    const script = `
      import { openSession } from './src/model/session.ts';
      import { smallGraph } from './test/model/graphs.ts';
      const denoiser = await openSession(smallGraph());
      const x = { data: new Float32Array(6), shape: [1, 1, 2, 3] };
      const result = await denoiser(x, Float32Array.of(5));
      const refused = await openSession(smallGraph(), { device: 'webgpu' }).catch((error) => error);
      console.log(JSON.stringify([denoiser.device, denoiser.notes, result.data[5], refused.code, refused.message]));
    `;
    // a folder of packages that has only the web one
    const output = await runBundled(script, { folder, packages: ['onnxruntime-web'] });
    const [device, notes, value, code, message] = JSON.parse(output);
    expect([device, value, code]).toEqual(['wasm', 5, 'webgpu-unavailable']);
    expect(notes[0]).toMatch(/^the package onnxruntime-node is not installed: running on onnxruntime-web/);
    expect(message).toMatch(/^webgpu: the package onnxruntime-node is not installed$/);
  });
});
