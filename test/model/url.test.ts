import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/model/load.ts';
import type { DownloadProgress } from '../../src/runtime/types.ts';
import { serve, type TestServer } from '../runtime/server.ts';
import { smallGraph } from './graphs.ts';

let server: TestServer | undefined;
afterEach(() => server?.close());

const scheduler = { _class_name: 'DDPMScheduler' };
const files: Record<string, Uint8Array | string> = {
  '/models/small/model.onnx': smallGraph(),
  '/models/small/scheduler_config.json': JSON.stringify(scheduler),
};

async function serveFiles(missing = { status: 404 }): Promise<TestServer> {
  server = await serve((path) => (path in files ? { body: files[path] } : missing));
  return server;
}

/** The same files in a folder with a files.json. */
async function serveListed(list: object): Promise<TestServer> {
  server = await serve((path) => {
    const body =
      path === '/listed/files.json' ? JSON.stringify(list) : files[path.replace('/listed/', '/models/small/')];
    return body === undefined ? undefined : { body, headers: { 'content-length': String(Buffer.byteLength(body)) } };
  });
  return server;
}

function listOf(names: string[]): object {
  const digestOf = (name: string) => createHash('sha256').update(files[`/models/small/${name}`]).digest('hex');
  return Object.fromEntries(names.map((name) => [name, { sha256: digestOf(name) }]));
}

describe('loadModel from a URL', () => {
  it.each(['/models/small', '/models/small/', '/models/small?revision=main'])('takes a folder: %s', async (path) => {
    const { url, requests } = await serveFiles();
    const model = await loadModel(url + path, { device: 'cpu' });
    expect(model).toMatchObject({ name: 'small', shape: [1, 2, 3], schedulerConfig: scheduler });
    if (path.includes('?')) expect(requests.every((request) => request.endsWith('?revision=main'))).toBe(true);
    await model.dispose();
  });

  it('takes an .onnx file, with the JSON files beside it, as a string or URL', async () => {
    const { url } = await serveFiles();
    const source = `${url}/models/small/model.onnx`;
    for (const given of [source, new URL(source)]) {
      const model = await loadModel(given, { device: 'cpu' });
      expect(model).toMatchObject({ name: 'small', schedulerConfig: scheduler });
      await model.dispose();
    }
  });

  it('takes the HTML page of a single-page app for a file that is not there', async () => {
    server = await serve((path) => (path in files ? { body: files[path] } : { type: 'text/html', body: '<html>' }));
    const model = await loadModel(`${server.url}/models/small`, { device: 'cpu' });
    expect(model.labels).toBeUndefined();
    await model.dispose();
  });

  it('asks only for files that a files.json lists, and tells how far each is', async () => {
    const names = ['model.onnx', 'scheduler_config.json'];
    const seen: DownloadProgress[] = [];
    const { url, requests } = await serveListed(listOf(names));
    const model = await loadModel(`${url}/listed`, { device: 'cpu', onProgress: (progress) => seen.push(progress) });
    expect(model).toMatchObject({ name: 'listed', schedulerConfig: scheduler });
    await model.dispose();
    expect(requests.map((request) => request.split('/').at(-1)).sort()).toEqual(['files.json', ...names].sort());
    const bytes = smallGraph().length;
    const file = `${url}/listed/model.onnx`;
    expect(seen.filter((progress) => progress.file === file).at(-1)).toEqual({ file, loaded: bytes, total: bytes });
  });

  it('refuses bytes that a files.json gives another digest of, and a files.json that is none', async () => {
    const wrong = { 'model.onnx': { sha256: 'a'.repeat(64) } };
    const { url } = await serveListed(wrong);
    await expect(loadModel(`${url}/listed`, { device: 'cpu' })).rejects.toMatchObject({
      code: 'model-invalid',
      message: expect.stringMatching(/\/listed\/model\.onnx: expected bytes of SHA-256 a{64}, got [0-9a-f]{64}$/),
    });
    await server!.close();
    const bad = await serveListed({ 'model.onnx': { sha256: 'beef' } });
    await expect(loadModel(`${bad.url}/listed`, { device: 'cpu' })).rejects.toMatchObject({
      code: 'config-invalid',
      message: 'files.json: "model.onnx"."sha256" expected 64 hexadecimal digits, got "beef"',
    });
  });

  it('asks for a pickle only whether it is there', async () => {
    const { url, requests } = await serveFiles();
    await expect(loadModel(`${url}/nothing`, { device: 'cpu' })).rejects.toMatchObject({ code: 'model-not-found' });
    expect(requests.filter((request) => request.includes('.bin'))).toEqual([
      'HEAD /nothing/diffusion_pytorch_model.bin',
    ]);
  });

  it('ends with the signal', async () => {
    const { url } = await serveFiles();
    const signal = AbortSignal.abort();
    await expect(loadModel(`${url}/models/small`, { signal })).rejects.toHaveProperty('name', 'AbortError');
  });

  const shared = new URL('../../../shared/checkpoints/class-scale-shift/', import.meta.url);
  it.skipIf(!existsSync(shared))('takes a diffusers folder, and makes its graph', async () => {
    server = await serve((path) => {
      const file = new URL(`.${path}`, shared);
      return path !== '/' && existsSync(file) ? { body: readFileSync(file) } : undefined;
    });
    const model = await loadModel(server.url, { device: 'cpu' });
    expect(model).toMatchObject({ name: 'model', shape: [3, 8, 8], classes: 10 });
    await model.dispose();
  });
});
