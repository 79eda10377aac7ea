import { existsSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/model/load.ts';
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
