// Builds the example into dist/ and serves it on this machine. usage: node serve.mjs [PORT]
import { copyFileSync, mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(here, 'dist');

mkdirSync(dist, { recursive: true });
for (const name of ['index.html', 'style.css']) copyFileSync(path.join(here, name), path.join(dist, name));
await build({
  entryPoints: ['main.ts', 'worker.ts'].map((name) => path.join(here, name)),
  outdir: dist,
  ...{ bundle: true, splitting: true, format: 'esm', target: 'es2022', minify: true, logLevel: 'warning' },
  tsconfigRaw: {}, // in this repository tsconfig.json leads to the sources of the package
});
// onnxruntime-web loads these from beside the scripts: one for wasm, one for WebGPU
const ort = path.dirname(createRequire(import.meta.url).resolve('onnxruntime-web'));
for (const name of ['ort-wasm-simd-threaded.wasm', 'ort-wasm-simd-threaded.asyncify.wasm'])
  copyFileSync(path.join(ort, name), path.join(dist, name));

const types = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.wasm': 'application/wasm' };

const server = createServer(async (request, response) => {
  // all files lie side by side
  const file = path.join(dist, path.basename(request.url) || 'index.html');
  const body = await readFile(file).catch(() => undefined);
  response.writeHead(body ? 200 : 404, {
    'content-type': types[path.extname(file)] ?? 'text/plain',
    // only pages that are isolated like this may have threads, which share memory
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
    'cache-control': 'no-cache',
  });
  response.end(body);
});
server.listen(Number(process.argv[2] ?? 8000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
