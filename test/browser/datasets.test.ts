import { existsSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { idx, png, zip } from '../datasets/support.ts';
import { serve, type TestServer } from '../runtime/server.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));

describe.skipIf(!executablePath)('datasets in Chromium', () => {
  let server: TestServer;
  let browser: Browser;

  beforeAll(async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: "import * as data from './src/data/index.ts'; globalThis.data = data;",
        resolveDir: path.resolve('.'),
        loader: 'ts',
      },
      bundle: true,
      format: 'esm',
      platform: 'browser',
      write: false,
      alias: { '#runtime': path.resolve('src/runtime/web.ts') },
      external: ['onnxruntime-web'],
      logLevel: 'error',
    });
    const packed = gzipSync(idx([3, 2, 2]));
    const jpeg = await sharp(png(1, 1, 1))
      .jpeg()
      .toBuffer();
    const files: Record<string, Uint8Array> = {
      '/main.js': outputFiles[0].contents,
      '/images.gz': packed,
      '/labels': idx([3], Uint8Array.of(2, 1, 0)),
      '/cut-images.gz': packed.subarray(0, packed.length - 6),
      '/pets.zip': await zip({
        'pets/cat/1.png': png(2, 2, 7),
        'pets/dog/1.jpg': jpeg,
        'pets/dog/2.png': png(2, 2, 8),
      }),
    };
    server = await serve((url) => {
      if (url === '/')
        return { type: 'text/html', body: '<!doctype html><script type="module" src="/main.js"></script>' };
      return files[url] && { type: url.endsWith('.js') ? 'text/javascript' : undefined, body: files[url] };
    });
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  it('are read by URL: gzipped idx with its labels, zip, and a cut gzip and JPEG that are named', async () => {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.waitForFunction(() => 'data' in globalThis);
    const read = (place: string) =>
      page.evaluate(async (place) => {
        const { data } = globalThis as unknown as { data: typeof import('../../src/data/index.ts') };
        try {
          const dataset = await data.openDataset(place);
          const batches: { data: number[]; labels: number[] }[] = [];
          for await (const { data, labels } of dataset) batches.push({ data: [...data], labels: [...(labels ?? [])] });
          return { batches, problems: [...dataset.problems], labels: dataset.labels };
        } catch (error) {
          return { error: (error as Error).message };
        }
      }, place);
    const bytes = [...idx([3, 2, 2]).subarray(16)];
    expect(await read('/images.gz')).toMatchObject({ batches: [{ data: bytes, labels: [2, 1, 0] }], problems: [] });
    expect(await read('/pets.zip')).toEqual({
      batches: [{ data: [7, 7, 7, 7, 8, 8, 8, 8], labels: [0, 1] }],
      labels: ['cat', 'dog'],
      problems: [{ name: 'dog/1.jpg', message: 'a JPEG image needs sharp, which runs in Node.js only: take PNG' }],
    });
    const { error } = await read('/cut-images.gz');
    expect(error).toMatch(/\/cut-images\.gz: the gzip data is cut short or damaged after \d+ unpacked bytes: \S/);
    expect((await read('/')).error).toMatch(/a folder cannot be listed over HTTP/);
  });
});
