import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BlobReader, Uint8ArrayWriter, ZipReader } from '@zip.js/zip.js';
import { encode } from 'fast-png';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPipeline } from '../../src/index.ts';
import { temporaryFolder } from '../support/cli.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));
if (!executablePath) console.warn('skipped: the example that trains in a browser, for there is no Chromium here');

/** Squares of several colours and places, on nothing. */
function pictures() {
  return Array.from({ length: 12 }, (_, n) => {
    const data = new Uint8Array(20 * 20 * 4);
    for (let y = 4; y < 12; y++)
      for (let x = n % 8; x < (n % 8) + 8; x++) data.set([255, 20 * n, 60, 255], 4 * (20 * y + x));
    const buffer = Buffer.from(encode({ width: 20, height: 20, channels: 4, data }));
    return { name: `${n}.png`, mimeType: 'image/png', buffer };
  });
}

describe.skipIf(!executablePath)('examples/train-in-browser, as its script builds and serves it', () => {
  let server: ChildProcess;
  let url: string;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  const complaints: string[] = [];
  const elsewhere: string[] = [];

  beforeAll(async () => {
    server = spawn(process.execPath, ['examples/train-in-browser/serve.mjs', '0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    url = await new Promise<string>((resolve, reject) => {
      server.stdout!.once('data', (text) => resolve(String(text).trim()));
      server.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
    });
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    context = await browser.newContext();
    context.on('request', (request) => {
      if (![url, 'blob:', 'data:'].some((start) => request.url().startsWith(start))) elsewhere.push(request.url());
    });
    page = await context.newPage();
    page.setDefaultTimeout(200_000);
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('dialog', (dialog) => dialog.accept());
    await page.goto(url);
  });
  afterAll(async () => {
    await browser?.close();
    server?.kill();
  });

  const text = (id: string) => page.locator(`#${id}`).textContent();
  const stepNow = async () => Number.parseInt((await text('step'))!, 10);
  const until = (id: string, pattern: RegExp) =>
    page.waitForFunction(([id, source]) => new RegExp(source).test(document.getElementById(id)!.textContent!), [
      id,
      pattern.source,
    ] as const);
  /** How many colours the sheet shows: one before there is any. */
  const sheetColours = () =>
    page.evaluate(() => {
      const sheet = document.getElementById('sheet') as HTMLCanvasElement;
      const { data } = sheet.getContext('2d')!.getImageData(0, 0, sheet.width, sheet.height);
      return new Set(new Uint32Array(data.buffer)).size;
    });

  it('trains on chosen files, is paused, and goes on from there after a reload', async () => {
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(await page.locator('#go').isDisabled()).toBe(true);
    const notes = { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') };
    await page.locator('#files').setInputFiles([...pictures(), notes]);
    await until('status', /^12 pictures\. No pictures: notes\.txt$/);
    expect(await page.locator('#thumbnails canvas').count()).toBe(12);

    await page.selectOption('#device', 'wasm');
    await page.fill('#steps', '30');
    await page.click('text=Start');
    await until('step', /^[12]\d of 30$/);
    await until('loss', /\d/);
    const first = Number(await text('loss'));
    await page.click('text=Pause');
    await until('status', /^Paused/);
    const stopped = await stepNow();
    expect(stopped).toBeLessThan(30);

    await page.reload();
    await until('status', /^Paused/);
    expect(await stepNow()).toBe(stopped);
    expect(await page.locator('#thumbnails canvas').count()).toBe(12);
    expect(await page.locator('#curve .raw').getAttribute('d')).toMatch(/^M[\d.]+,[\d.]+/);
    expect(Number(await text('loss'))).toBeGreaterThan(0);
    const seen = await page.evaluateHandle(() => {
      const steps: number[] = [];
      const cell = document.getElementById('step')!;
      new MutationObserver(() => steps.push(Number.parseInt(cell.textContent!, 10))).observe(cell, { childList: true });
      return steps;
    });
    await page.click('text=Continue');
    await until('status', /^Done/);
    const rest = Array.from({ length: 30 - stopped }, (_, i) => stopped + 1 + i);
    expect([...new Set(await seen.jsonValue())].filter((step) => step > stopped)).toEqual(rest);
    expect(Math.min(...(await seen.jsonValue()))).toBe(stopped);
    expect(await stepNow()).toBe(30);
    expect(Number(await text('loss'))).toBeLessThan(0.8 * first);
    expect(await text('sampled')).toBe('After 30 steps.');
    expect(await sheetColours()).toBeGreaterThan(100);
  }, 300_000);

  it('gives the model as a diffusers folder that Node samples from', async () => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('text=Download')]);
    const folder = temporaryFolder();
    const zip = new ZipReader(new BlobReader(new Blob([readFileSync(await download.path())])));
    for (const entry of await zip.getEntries()) {
      const file = path.join(folder, entry.filename);
      mkdirSync(path.dirname(file), { recursive: true });
      if (!entry.directory) writeFileSync(file, await entry.getData(new Uint8ArrayWriter()));
    }
    const pipeline = await loadPipeline(path.join(folder, 'model'));
    const { data, shape } = await pipeline.sample({ count: 2, sampler: 'ddim', steps: 3 });
    expect(shape).toEqual([2, 3, 16, 16]);
    expect(data.every(Number.isFinite)).toBe(true);
    await pipeline.dispose();
  });

  it('forgets what was trained when it is told to, and keeps the pictures', async () => {
    await page.reload();
    await until('status', /^Done/);
    expect(await sheetColours()).toBeGreaterThan(100);
    await page.click('text=Start over');
    await until('status', /^12 pictures\.$/);
    expect(await text('step')).toBe('–');
    expect(await page.locator('#go').textContent()).toBe('Start');
    expect(await sheetColours()).toBe(1);
  });

  it('has asked nobody else for anything, and complained of nothing', () => {
    expect(elsewhere).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
