import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve, type TestServer } from '../runtime/server.ts';
import { smallGraph } from './graphs.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const ort = path.join(root, 'node_modules/onnxruntime-web/dist');
const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));

const script = `
  import { loadModel } from './src/model/load.ts';
  globalThis.loadModel = loadModel;
`;

const onOneThread = 'runs on wasm, 1 thread: the page is not cross-origin isolated (COOP and COEP headers)';

async function bundle() {
  return build({
    stdin: { contents: script, resolveDir: root, loader: 'ts' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    outdir: '/out',
    write: false,
    metafile: true,
    external: ['./engineBytes.ts'],
    alias: { '#runtime': path.join(root, 'src/runtime/web.ts') },
    logLevel: 'error',
  });
}

/** The output files that importing one loads at once, itself included. */
function reachable({ outputs }: Metafile, file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file) || !outputs[file]) return seen;
  seen.add(file);
  for (const { path, kind } of outputs[file].imports)
    if (kind === 'import-statement') reachable({ outputs } as Metafile, path, seen);
  return seen;
}

describe('a bundle for the browser', () => {
  it('holds no Node, and neither the converter nor the WebGPU build before they are needed', async () => {
    const { metafile } = await bundle();
    const first = Object.keys(metafile.outputs).find((file) => metafile.outputs[file].entryPoint === '<stdin>')!;
    const loaded = Object.keys(metafile.outputs)
      .filter((file) => reachable(metafile, first).has(file))
      .flatMap((file) => Object.keys(metafile.outputs[file].inputs));
    expect(loaded).toContain('src/model/load.ts');
    expect(Object.keys(metafile.inputs)).not.toContain('src/runtime/node.ts');
    expect(loaded).not.toContain('src/onnx/convert.ts');
    expect(loaded.filter((input) => input.includes('onnxruntime'))).toEqual([]);
  });
});

describe.skipIf(!executablePath)('in Chromium', () => {
  let server: TestServer;
  let browser: Browser;

  beforeAll(async () => {
    const { outputFiles } = await bundle();
    const scripts = new Map(outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents]));
    server = await serve((url) => {
      if (url === '/')
        return { type: 'text/html', body: '<!doctype html><script type="module" src="/stdin.js"></script>' };
      if (url === '/small/model.onnx') return { body: smallGraph() };
      if (url === '/small/scheduler_config.json') return { body: '{"beta_start":0.5}' };
      const body = scripts.get(url) ?? (url.startsWith('/ort-') ? readFileSync(path.join(ort, url)) : undefined);
      return body && { type: url.endsWith('.wasm') ? 'application/wasm' : 'text/javascript', body };
    });
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--enable-unsafe-webgpu'] });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function run(device: string) {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.waitForFunction(() => 'loadModel' in globalThis);
    return page.evaluate(async (device) => {
      const { loadModel } = globalThis as unknown as { loadModel: typeof import('../../src/model/load.ts').loadModel };
      const model = await loadModel('/small', { device: device as 'wasm', batch: 2 });
      const x = { data: Float32Array.from({ length: 18 }, (_, i) => i), shape: [3, 1, 2, 3] };
      const out = { data: new Float32Array(18), shape: x.shape };
      await model.denoiser(x, Float32Array.of(10, 20, 30), undefined, { out });
      const { device: used, notes, schedulerConfig, name } = model;
      return { used, notes, schedulerConfig, name, first: [out.data[0], out.data[6], out.data[12]] };
    }, device);
  }

  it('runs on wasm a folder of the page', async () => {
    expect(await run('wasm')).toEqual({
      used: 'wasm',
      notes: [onOneThread],
      name: 'small',
      schedulerConfig: { beta_start: 0.5 },
      first: [10, 26, 42],
    });
  });

  it('chooses WebGPU by itself where there is a graphics card, else wasm, and says why', async () => {
    const page = await browser.newPage();
    await page.goto(server.url);
    const adapter = await page.evaluate(async () => {
      const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<{ info: { isFallbackAdapter: boolean } }> } };
      const found = await gpu?.requestAdapter();
      return found ? (found.info.isFallbackAdapter ? 'software' : 'card') : 'none';
    });
    const reasons = {
      card: ['runs on webgpu'],
      software: ['passed over webgpu: the adapter draws in software, which is slower than wasm', onOneThread],
      none: ['passed over webgpu: this browser offers no WebGPU adapter', onOneThread],
    };
    const used = adapter === 'card' ? 'webgpu' : 'wasm';
    expect(await run('auto')).toMatchObject({ used, notes: reasons[adapter], first: [10, 26, 42] });
  });

  it('says why cpu is not to be had', async () => {
    await expect(run('cpu')).rejects.toThrow('cpu: needs Node.js: in a browser take webgpu or wasm');
  });
});
