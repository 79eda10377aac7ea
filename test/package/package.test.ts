import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build, type OnResolveArgs } from 'esbuild';
import { decode } from 'fast-png';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/cli.ts';

const packageJson = JSON.parse(readFileSync('package.json', 'utf8'));

function run(command: string, args: string[], cwd = '.'): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  expect(status, `${command} ${args.join(' ')}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

/** Leaves out what is imported only when it is needed. */
const later = ({ path: name, kind }: OnResolveArgs) =>
  kind === 'dynamic-import' ? { path: name, external: true } : undefined;

describe('the packed tarball', () => {
  const shelf = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-pack-'));
  let tarball = '';
  let files: string[] = [];
  beforeAll(() => {
    const [packed] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', shelf]));
    tarball = path.join(shelf, packed.filename);
    files = packed.files.map((file: { path: string }) => file.path);
  });

  afterAll(() => rmSync(shelf, { recursive: true }));

  it('holds the build, the bundled model and its card, and no sources or tests', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'dist/index.js',
        'dist/index.d.ts',
        'dist/cli/main.js',
        'dist/engine.wasm',
        'dist/step.wasm',
        'dist/standalone/element.js',
        'dist/standalone/worker.js',
        'models/fashion/files.json',
        'dist/train/training.schema.json',
        'LICENSE',
        'README.md',
      ]),
    );
    expect(files).toEqual(
      expect.arrayContaining(['models/fashion/model.onnx', 'models/fashion/features.onnx', 'models/fashion/README.md']),
    );
    expect(
      files.filter((file) => !/^(dist\/|models\/|package\.json|README\.md|LICENSE|CHANGELOG\.md)/.test(file)),
    ).toEqual([]);
  });

  // the script of onnxruntime-node downloads CUDA libraries; where it fails npm drops the package and wasm takes over
  it.each([
    ['install scripts run, and fail where there is no network', []],
    ['install scripts skipped', ['--ignore-scripts']],
    ['the native package left out', ['--ignore-scripts', '--omit=optional']],
  ])('installed in an empty folder samples the bundled model: %s', (_, flags) => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true }');
    run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...flags, tarball], folder);
    const out = run('npx', ['--no', 'ddpm-wasm', 'sample', '--steps', '2', '--count', '4', '--out', 'x.png'], folder);
    expect(out).toMatch(/x\.png: 4 images of 28x28 from fashion.* on (cpu|cuda|wasm)\n$/);
    if (flags.includes('--omit=optional')) expect(out).toMatch('on wasm');
    expect(decode(readFileSync(path.join(folder, 'x.png')))).toMatchObject({ width: 174, height: 174 });

    writeFileSync(
      path.join(folder, 'use.mjs'),
      `import { loadPipeline } from 'ddpm-wasm';
       const pipeline = await loadPipeline('fashion');
       const { shape } = await pipeline.sample({ count: 2, sampler: 'ddim', steps: 2, seed: 1 });
       console.log(JSON.stringify(shape));`,
    );
    expect(run('node', ['use.mjs'], folder)).toBe('[2,1,28,28]\n');
  });

  it('has entry points that publint and arethetypeswrong accept', () => {
    run('npx', ['publint', '--strict', tarball]);
    run('npx', [
      'attw',
      '--profile',
      'esm-only',
      '--exclude-entrypoints',
      'engine.wasm',
      'step.wasm',
      'training.schema.json',
      '--',
      tarball,
    ]);
  });
});

describe('what a user loads', () => {
  it('is the engine under 16 kB gzipped, without imports', async () => {
    const bytes = readFileSync('dist/engine.wasm');
    expect(gzipSync(bytes).length).toBeLessThan(16_000);
    expect(WebAssembly.Module.imports(await WebAssembly.compile(bytes))).toEqual([]);
  });

  it('is the step mathematics under 10 kB: step.wasm, and gzipped with the JavaScript that walks a plan', async () => {
    const bytes = readFileSync('dist/step.wasm');
    const { outputFiles } = await build({
      stdin: { contents: "export * from './dist/step.js';", resolveDir: path.resolve('.') },
      bundle: true,
      minify: true,
      format: 'esm',
      target: 'es2022',
      conditions: ['workerd'],
      write: false,
      tsconfigRaw: {}, // the paths of tsconfig.json lead to the sources
    });
    expect(bytes.length).toBeLessThan(10_000);
    const packed = [bytes, outputFiles[0].contents].map((file) => gzipSync(file, { level: 9 }).length);
    expect(packed[0] + packed[1]).toBeLessThan(10_000);
  });

  it.each(['browser', 'node'] as const)(
    'for sampling in %s has no converter, no command line and no image code',
    async (platform) => {
      const { metafile } = await build({
        entryPoints: ['dist/index.js'],
        bundle: true,
        splitting: true,
        format: 'esm',
        platform,
        metafile: true,
        write: false,
        outdir: 'out',
        external: ['onnxruntime-*'],
        tsconfigRaw: {}, // the paths of tsconfig.json lead to the sources
        logLevel: 'silent',
      });
      const outputs = Object.values(metafile.outputs);
      const entry = outputs.find((output) => output.entryPoint === 'dist/index.js')!;
      const eager = new Set<string>();
      const collect = (output: typeof entry) => {
        for (const file of Object.keys(output.inputs)) eager.add(file);
        for (const { path: name, kind } of output.imports)
          if (kind === 'import-statement' && metafile.outputs[name]) collect(metafile.outputs[name]);
      };
      collect(entry);
      const rooms = new Set([...eager].filter((file) => file.startsWith('dist/')).map((file) => file.split('/')[1]));
      const unwanted = ['cli', 'train', 'serve', 'image', 'data', 'metrics', 'evaluate', 'resident', 'report'];
      expect([...rooms].filter((room) => unwanted.includes(room))).toEqual([]);
      expect(
        [...eager].filter((file) => /onnx\/(convert|unet2d|graph|gradients|lora|named)|model\/lora/.test(file)),
      ).toEqual([]);
      expect([...eager].filter((file) => /commander|cli-progress|fast-png|ml-matrix/.test(file))).toEqual([]);
    },
  );

  // what the network is run by, and the engine, which is measured above, are loaded as files of their own
  it('of JavaScript to sample in a page is under 27.5 kB gzipped, onnxruntime and engine apart', async () => {
    const { outputFiles, metafile } = await build({
      stdin: { contents: "export { loadPipeline } from './dist/index.js';", resolveDir: path.resolve('.') },
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      metafile: true,
      write: false,
      tsconfigRaw: {}, // the paths of tsconfig.json lead to the sources
      plugins: [{ name: 'loaded later', setup: ({ onResolve }) => onResolve({ filter: /./ }, later) }],
    });
    expect(gzipSync(outputFiles[0].contents, { level: 9 }).length).toBeLessThan(27_500);
    expect(Object.keys(metafile.inputs).filter((file) => /model\/bundle\.js|msgpack/.test(file))).toEqual([]);
  });

  it('is the class of the element without registering it, in Node too', async () => {
    const script = `
      const registered = () => Boolean(globalThis.customElements?.get('ddpm-sample'));
      const { DdpmSample } = await import('ddpm-wasm/element/class');
      const before = registered();
      await import('ddpm-wasm/element');
      console.log(typeof DdpmSample, before, registered());`;
    expect(run('node', ['--input-type=module', '-e', script])).toBe('function false true\n');
  });

  it.each(readdirSync('models').filter((name) => !name.includes('.')))('of %s is listed with its digest', (name) => {
    const folder = `models/${name}`;
    const list: Record<string, { sha256: string }> = JSON.parse(readFileSync(`${folder}/files.json`, 'utf8'));
    const needed = readdirSync(folder).filter((file) => /\.(json|onnx)$/.test(file));
    expect(Object.keys(list).sort()).toEqual(
      needed.filter((file) => !['files.json', 'training.json'].includes(file)).sort(),
    );
    for (const [file, { sha256 }] of Object.entries(list))
      expect(
        createHash('sha256')
          .update(readFileSync(`${folder}/${file}`))
          .digest('hex'),
        file,
      ).toBe(sha256);
  });

  it('for serving on any platform has nothing of Node, and no command line', async () => {
    const { metafile } = await build({
      entryPoints: ['dist/serve/index.js'],
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'browser',
      metafile: true,
      write: false,
      outdir: 'out',
      external: ['onnxruntime-*'],
      tsconfigRaw: {},
      logLevel: 'silent',
    });
    const inputs = Object.keys(metafile.inputs);
    expect(inputs).toContain('dist/serve/handler.js');
    expect(inputs.filter((file) => /^node:|dist\/cli|serve\/(node|thread|network)|node-server/.test(file))).toEqual([]);
  });

  it('declares dependencies with exact versions only', () => {
    const { dependencies, optionalDependencies, devDependencies } = packageJson;
    for (const version of Object.values({ ...dependencies, ...optionalDependencies, ...devDependencies }))
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
