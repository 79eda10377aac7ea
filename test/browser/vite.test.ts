import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { DdpmSample } from '../../src/browser/sampleElement.ts';
import { temporaryFolder } from '../support/cli.ts';
import { executablePath, isolation, openPage, serveSite } from './site.ts';

const index = `<!doctype html><html lang="en"><title>app</title><link rel="icon" href="data:,">
  <ddpm-sample device="wasm" model="/models/fashion" count="2" steps="2"></ddpm-sample>
  <script type="module" src="/main.js"></script></html>`;

describe.skipIf(!executablePath)('an app that Vite builds', () => {
  it('samples in a worker with two threads, from files of its own origin', async () => {
    const root = temporaryFolder();
    mkdirSync(path.join(root, 'node_modules'));
    symlinkSync(path.resolve('.'), path.join(root, 'node_modules/ddpm-wasm'), 'dir');
    writeFileSync(path.join(root, 'index.html'), index);
    writeFileSync(path.join(root, 'main.js'), "import 'ddpm-wasm/element';");
    writeFileSync(path.join(root, 'vite.config.mjs'), "export default { worker: { format: 'es' } };");
    const vite = path.resolve('node_modules/vite/bin/vite.js');
    const env = { ...process.env, NODE_ENV: 'production' };
    const { status, stderr } = spawnSync('node', [vite, 'build'], { cwd: root, env, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    const out = path.join(root, 'dist');
    const assetOf = (url: string) =>
      url.startsWith('/assets/') && existsSync(out + url) ? readFileSync(out + url) : undefined;
    const site = await serveSite({ '/': readFileSync(path.join(out, 'index.html')) }, isolation, assetOf);
    onTestFinished(site.close);
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    onTestFinished(() => browser.close());

    const ready = 'customElements.get("ddpm-sample")';
    const { page, complaints } = await openPage(await browser.newContext(), site.url, ready);
    const { shape, notes } = await page.evaluate(async () => {
      const element = document.querySelector<DdpmSample>('ddpm-sample')!;
      const { shape } = await element.sample();
      return { shape, notes: (await element.pipeline()).notes };
    });
    expect(shape).toEqual([2, 1, 28, 28]);
    expect(notes).toContain('runs on wasm, 2 threads');
    expect(complaints).toEqual([]);
  });
});
