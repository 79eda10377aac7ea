// The same requests over every runtime that is installed: see suite.ts.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { cli, ddpmWasm, temporaryFolder } from '../support/cli.ts';
import { executableOf, serveExample } from '../support/runtimes.ts';
import { serveCli } from '../support/server.ts';
import { bundleWorker, serveWorker } from '../support/workerd.ts';
import { lambdaPlace } from './lambda.ts';
import { runSuite } from './suite.ts';

/** Skips what runs elsewhere, and says so. */
function installed(runtime: Parameters<typeof executableOf>[0]): boolean {
  const found = executableOf(runtime) !== undefined;
  if (!found) console.warn(`skipped: ${runtime} is not installed here (npm ci)`);
  return found;
}

describe('in Node', () => {
  describe('ddpm-wasm serve', () => {
    const command = [process.execPath, cli, 'serve', '--port', '0', '--device', 'cpu', '--denoise'];
    runSuite(async () => {
      const { url, stop } = await serveExample(command);
      return { url, close: stop };
    });
  });

  describe('AWS Lambda, examples/lambda', () => {
    runSuite(lambdaPlace, { streams: false });
  });
});

describe.runIf(installed('workerd'))('in workerd', () => {
  describe('examples/worker', () => {
    runSuite(async () => {
      const assets = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-assets-'));
      const made = spawnSync(process.execPath, [cli, 'convert', 'fashion', '--out', path.join(assets, 'fashion.ddpm')]);
      expect(made.status).toBe(0);
      const { url, stop } = await serveWorker('examples/worker', { assets });
      return { url, close: () => stop().then(() => rmSync(assets, { recursive: true })) };
    });
  });

  it('examples/worker-remote gives the bytes that the command line writes, its network in another process', async () => {
    const { url: server } = await serveCli(['--device', 'cpu', '--denoise'], { DDPM_WASM_TOKEN: 'secret' });
    const worker = await serveWorker('examples/worker-remote', { vars: { SERVER: server, TOKEN: 'secret' } });
    onTestFinished(() => worker.stop());
    const cwd = temporaryFolder();
    for (const seed of [7, 8]) {
      const flags = ['--count', 4, '--steps', 10, '--class', '0,1,2,3', '--seed', seed];
      await ddpmWasm(['sample', ...flags, '--device', 'cpu', '--out', 'a.png'], { cwd });
      const response = await fetch(`${worker.url}/?seed=${seed}`);
      expect(new Uint8Array(await response.arrayBuffer())).toEqual(
        new Uint8Array(readFileSync(path.join(cwd, 'a.png'))),
      );
    }
    expect((await fetch(`${worker.url}/?seed=x`)).status).toBe(400);
  });
});

describe.runIf(installed('deno'))('in Deno, examples/deno', () => {
  const flags = ['--no-prompt', '--cached-only', '--unstable-no-legacy-abort'];
  const permissions = ['net', 'read', 'env', 'sys', 'ffi'].map((name) => `--allow-${name}`);
  runSuite(async () => {
    const { url, stop } = await serveExample(
      [executableOf('deno')!, 'run', ...flags, ...permissions, 'examples/deno/server.ts'],
      { NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1' },
    );
    return { url, close: stop };
  });
});

describe.runIf(installed('bun'))('in Bun, examples/bun', () => {
  runSuite(async () => {
    const { url, stop } = await serveExample([executableOf('bun')!, 'examples/bun/server.ts']);
    return { url, close: stop };
  });
});

describe('what a Worker uploads', () => {
  const packed = (bytes: Uint8Array) => gzipSync(bytes, { level: 9 }).length;
  const size = async (folder: string) => {
    const { script, modules } = await bundleWorker(folder, true);
    return packed(script) + [...modules.values()].reduce((sum, file) => sum + packed(readFileSync(file)), 0);
  };

  it('is under 4 MB gzipped with the network in it: of the 10 MB of a paid plan, and over the 3 MB of a free one', async () => {
    expect(await size('examples/worker')).toBeLessThan(4_000_000);
  });

  it('is under 30 kB gzipped with the network elsewhere', async () => {
    expect(await size('examples/worker-remote')).toBeLessThan(30_000);
  });
});
