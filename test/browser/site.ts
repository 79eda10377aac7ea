import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { createEngine } from '../../src/engine/engine.ts';
import { buildUNet } from '../../src/onnx/unet2d.ts';
import { initializeParameters } from '../../src/train/initialize.ts';
import { type Answer, serve, type TestServer } from '../runtime/server.ts';

/** Debian's Chromium, or undefined where there is none. */
export const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));

/** The policy that the package promises to work under; nothing but the page's own origin is reached. */
export const strictPolicy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data: blob:";

/** What makes a page cross-origin isolated, so that wasm may have threads. */
export const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

const types: Record<string, string> = {
  '': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
  '.html': 'text/html',
  '.css': 'text/css',
};

/** Files of a server by path. */
export type Files = Readonly<Record<string, Uint8Array | string>>;

/** A static server of pages, the built package, the bundled model and onnxruntime's files in /ort. */
export async function serveSite(
  pages: Files,
  headers: Record<string, string> = {},
  more: (url: string) => Uint8Array | undefined = () => undefined,
): Promise<TestServer> {
  return serve((url): Answer | undefined => {
    const body = pages[url] ?? more(url) ?? fileOf(url);
    if (body === undefined) return undefined;
    const type = types[extname(url)] ?? 'application/octet-stream';
    // what a static host says of files whose names change with them
    const caching = /\.(m?js|wasm)$/.test(url) || type === 'text/html' ? 'max-age=3600' : 'no-cache';
    const length = String(Buffer.byteLength(body));
    return { type, body, headers: { 'cache-control': caching, 'content-length': length, ...headers } };
  });
}

function fileOf(url: string): Uint8Array | undefined {
  const path = url.replace('/ort/', '/node_modules/onnxruntime-web/dist/');
  const file = /^\/(dist|models|examples|node_modules\/onnxruntime-web)\//.test(path) && `.${path}`;
  return file && existsSync(file) ? readFileSync(file) : undefined;
}

/** A page around some HTML, with the element's script. */
export function pageOf(body: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,">
    <script type="module" src="/dist/standalone/element.js"></script><body>${body}</body></html>`;
}

/** Opens a page, until an expression holds, and notes what goes wrong: errors on the console, requests to other origins. */
export async function openPage(
  context: BrowserContext,
  url: string,
  ready: string,
): Promise<{ page: Page; complaints: string[] }> {
  const page = await context.newPage();
  const complaints: string[] = [];
  const { origin } = new URL(url);
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  context.on('request', (request) => {
    const to = new URL(request.url());
    if (['http:', 'https:', 'ws:'].includes(to.protocol) && to.origin !== origin) complaints.push(request.url());
  });
  await page.goto(url);
  await page.waitForFunction(ready);
  return { page, complaints };
}

/** A network of 16x16 images with two classes, small enough for WebGPU in software; its weights are drawn, not trained. */
export async function tinyModel(): Promise<Files> {
  const { config } = parseUNetConfig({
    ...{ _class_name: 'UNet2DModel', sample_size: 16, in_channels: 3, out_channels: 3, block_out_channels: [16] },
    ...{ layers_per_block: 1, norm_num_groups: 8, num_class_embeds: 3 },
    ...{ down_block_types: ['DownBlock2D'], up_block_types: ['UpBlock2D'] },
  });
  const drawn = initializeParameters(await createEngine(), config, { seed: 3, zero: false });
  const tensors = new Map(
    [...drawn].map(([name, { data, shape }]) => {
      return [name, { dtype: 'F32' as const, shape, data: new Uint8Array(data.buffer) }];
    }),
  );
  const files: Files = {
    'model.onnx': buildUNet(config, tensors).bytes,
    'scheduler_config.json': '{ "_class_name": "DDIMScheduler", "beta_schedule": "squaredcos_cap_v2" }',
    'labels.json': '{ "labels": ["ant", "bee"], "unconditional": 2 }',
  };
  const digests = Object.entries(files).map(([name, body]) => [name, { sha256: digestOf(body) }]);
  return { ...files, 'files.json': JSON.stringify(Object.fromEntries(digests)) };
}

function digestOf(body: Uint8Array | string): string {
  return createHash('sha256').update(body).digest('hex');
}
