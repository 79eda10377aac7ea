import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../src/data/index.ts';
import { encodePng } from '../../src/image/png.ts';
import { temporaryFolder } from '../support/cli.ts';
import { all, bytesOf, failure, plain, png, readAll, write } from './support.ts';

describe('a folder of images', () => {
  it('gives them in natural order, subfolders as classes by name, deeper files to the first', async () => {
    const folder = write(temporaryFolder(), {
      'dog/10.png': png(2, 2, 10),
      'dog/9.png': png(2, 2, 9),
      'cat/old/1.png': png(2, 2, 1),
      'cat/2.PNG': png(2, 2, 2),
      'empty/readme.txt': 'none',
      '.hidden/1.png': png(2, 2, 77),
      'dog/.x.png': png(2, 2, 77),
    });
    const read = await readAll(folder, { batch: 3 });
    expect(read.dataset).toMatchObject({
      name: path.basename(folder),
      count: 4,
      shape: [1, 2, 2],
      labels: ['cat', 'dog'],
    });
    expect([...read.data].filter((_, i) => i % 4 === 0)).toEqual([2, 1, 9, 10]);
    expect([...read.labels]).toEqual([0, 0, 1, 1]);
    expect(read.dataset.notes).toEqual(['left out what is not named as an image: empty/readme.txt']);
    // and again the same
    expect(await all(read.dataset)).toEqual({ data: read.data, shape: read.shape, labels: read.labels });
  });

  it('without subfolders has no labels', async () => {
    const { dataset, labels } = await readAll(write(temporaryFolder(), { 'a.png': png(1, 1, 1) }));
    expect(dataset.labels).toBeUndefined();
    expect(labels).toHaveLength(0);
    expect(dataset.notes).toEqual(['no labels: the images are not in subfolders']);
  });

  it('takes the indices of classes from labels; other folders and images beside folders are named', async () => {
    const folder = write(temporaryFolder(), {
      'cat/1.png': png(1, 1, 1),
      'dog/1.png': png(1, 1, 2),
      'eel/1.png': png(1, 1, 3),
      'top.png': png(1, 1, 4),
    });
    const { dataset, labels } = await readAll(folder, { labels: ['dog', 'wolf', 'cat'] });
    expect([...labels]).toEqual([2, 0]);
    expect(dataset.labels).toEqual(['dog', 'wolf', 'cat']);
    expect(dataset.problems).toEqual([
      { name: 'eel/1.png', message: 'expected a subfolder named by a label, got "eel"' },
      { name: 'top.png', message: 'expected a subfolder, which is the class, got an image beside the subfolders' },
    ]);
    expect((await readAll(folder, { classes: 2 })).dataset.problems[0]).toEqual({
      name: 'eel/1.png',
      message: 'expected a label in 0..1, got 2',
    });
  });

  it('names every bad file once, however often it is read, and gives the others', async () => {
    const good = encodePng({ ...plain(8, 8, 0, 0, 0), data: bytesOf([8, 8, 3]) });
    const corrupt = good.slice();
    corrupt[60] ^= 255;
    const huge = good.slice();
    huge.set([0, 1, 0, 0, 0, 1, 0, 0], 16);
    const folder = write(temporaryFolder(), {
      '1 corrupt.png': corrupt,
      '2 good.png': good,
      '3 cut.png': good.subarray(0, 90),
      '4 empty.png': '',
      '5 text.png': 'no image',
      '6 bitmap.bmp': 'BM0000',
      '7 cut.jpg': (await sharp(good).jpeg().toBuffer()).subarray(0, 300),
    });
    const { dataset, shape } = await readAll(folder);
    expect(shape).toEqual([1, 3, 8, 8]);
    await all(dataset);
    expect(dataset.count).toBe(7);
    expect(dataset.problems.map(({ name }) => name)).toEqual([
      '1 corrupt.png',
      '3 cut.png',
      '4 empty.png',
      '5 text.png',
      '6 bitmap.bmp',
      '7 cut.jpg',
    ]);
    const messages = dataset.problems.map(({ message }) => message);
    expect(messages[0]).toMatch(/^expected a PNG with the checksum of the chunk at byte \d+, got "another"$/);
    expect(messages[1]).toMatch(/^expected a PNG with a chunk at byte \d+ within the file/);
    expect(messages[2]).toBe('expected a PNG, JPEG, WebP or GIF image, got bytes that begin nothing');
    expect(messages[3]).toBe('expected a PNG, JPEG, WebP or GIF image, got bytes that begin 6e 6f 20 69');
    expect(messages[4]).toMatch(/got bytes that begin 42 4d 30 30$/);
    expect(messages[5]).toMatch(/^expected a readable JPEG image, got: /);
    expect(await failure(folder, { strict: true })).toMatchObject({
      code: 'dataset-invalid',
      message: `${folder}: 1 corrupt.png: ${messages[0]}`,
    });
  });

  it('with no usable image says so, with the first reason; an empty or missing one too', async () => {
    const bad = write(temporaryFolder(), { 'a/1.png': 'x', 'a/2.png': 'y' });
    expect((await failure(bad)).message).toBe(
      `${bad}: no usable image: all 2 are bad, the first: a/1.png: expected a PNG, JPEG, WebP or GIF image, got bytes that begin 78`,
    );
    const empty = temporaryFolder();
    expect(await failure(empty)).toMatchObject({
      code: 'dataset-invalid',
      message: `${empty}: no usable image: there is none`,
    });
    expect(await failure(path.join(empty, 'none'))).toMatchObject({
      code: 'dataset-not-found',
      message: `nothing at ${empty}/none`,
    });
  });

  it('of mixed sizes and channels gives all in the shape of the first, or the asked one', async () => {
    const folder = write(temporaryFolder(), {
      '1.png': png(4, 2, 10, 20, 30, 255),
      '2.png': png(9, 9, 77),
      '3.png': png(1, 1, 1, 2, 3),
      '4.png': png(50, 3, 200, 200, 200, 0),
    });
    const { dataset, data } = await readAll(folder);
    expect(dataset.shape).toEqual([3, 2, 4]);
    const colours = Array.from({ length: 4 }, (_, i) => [0, 8, 16].map((at) => data[i * 24 + at]));
    expect(colours).toEqual([
      [10, 20, 30],
      [77, 77, 77],
      [1, 2, 3],
      [255, 255, 255],
    ]);
    const grey = await readAll(folder, { shape: [1, 3, 3], background: '#102030' });
    expect([...grey.data].filter((_, i) => i % 9 === 0)).toEqual([18, 77, 2, 29]);
    const alpha = await readAll(folder, { shape: [4, 1, 1] });
    expect([...alpha.data]).toEqual([10, 20, 30, 255, 77, 77, 77, 255, 1, 2, 3, 255, 0, 0, 0, 0]);
  });

  it('follows links, but not back into the folder that they are in', async () => {
    const elsewhere = write(temporaryFolder(), { '1.png': png(1, 1, 5) });
    const folder = write(temporaryFolder(), { 'a/1.png': png(1, 1, 4) });
    symlinkSync(elsewhere, path.join(folder, 'b'));
    symlinkSync(folder, path.join(folder, 'a/loop'));
    symlinkSync('nowhere', path.join(folder, 'a/2.png'));
    const { dataset, data, labels } = await readAll(folder);
    expect([...data]).toEqual([4, 5]);
    expect([...labels]).toEqual([0, 1]);
    expect(dataset.problems).toEqual([{ name: 'a/2.png', message: `nothing at ${folder}/a/2.png` }]);
  });
});

describe('JPEG, WebP and GIF', () => {
  it('are read by sharp, told by content; grey stays grey, JPEG is turned upright, of GIF the first frame', async () => {
    const red = sharp({ create: { width: 4, height: 2, channels: 3, background: '#c80000' } });
    const lossless = { lossless: true };
    const folder = write(temporaryFolder(), {
      '1.png': await red.clone().webp(lossless).toBuffer(),
      '2.gif': await red.clone().gif().toBuffer(),
      '3.webp': await red.clone().jpeg({ quality: 100 }).toBuffer(),
    });
    const { dataset, data } = await readAll(folder);
    expect(dataset.problems).toEqual([]);
    expect(dataset.shape).toEqual([3, 2, 4]);
    for (let image = 0; image < 3; image++) {
      const [r, g, b] = [0, 8, 16].map((at) => data[image * 24 + at]);
      expect(Math.abs(r - 200), `image ${image}`).toBeLessThanOrEqual(2);
      expect(Math.max(g, b)).toBeLessThanOrEqual(2);
    }
    const grey = sharp(Buffer.alloc(8, 99), { raw: { width: 4, height: 2, channels: 1 } }).toColourspace('b-w');
    const greys = await readAll(write(temporaryFolder(), { 'x.jpg': await grey.jpeg().toBuffer() }));
    expect(greys.dataset.shape).toEqual([1, 2, 4]);
    expect([...greys.data]).toEqual(Array(8).fill(99));
    const turned = await red.jpeg().withMetadata({ orientation: 6 }).toBuffer();
    expect((await openDataset(write(temporaryFolder(), { 'x.jpg': turned }))).shape).toEqual([3, 4, 2]);
  });

  it('of more than 2^24 pixels are refused before they are decoded', async () => {
    const large = await sharp({ create: { width: 4097, height: 4096, channels: 3, background: 'red' } })
      .webp()
      .toBuffer();
    const { dataset } = await readAll(write(temporaryFolder(), { 'a.webp': large, 'b.png': png(1, 1, 1) }));
    expect(dataset.problems).toEqual([
      { name: 'a.webp', message: 'expected a readable WebP image, got: Input image exceeds pixel limit' },
    ]);
  });

  it('without sharp are named one by one with what to install', async () => {
    const folder = write(temporaryFolder(), {
      'x/1.png': png(1, 1, 1),
      'x/2.jpg': await sharp(png(1, 1, 1))
        .jpeg()
        .toBuffer(),
    });
    const bundle = path.join(folder, 'read.mjs');
    await build({
      stdin: {
        contents: `import { openDataset } from './src/data/index.ts';
          const dataset = await openDataset(process.argv[2]);
          for await (const batch of dataset);
          console.log(JSON.stringify(dataset.problems));`,
        resolveDir: '.',
        loader: 'ts',
      },
      bundle: true,
      format: 'esm',
      platform: 'node',
      outfile: bundle,
      external: ['onnxruntime-*', 'sharp'],
      alias: { '#runtime': path.resolve('src/runtime/node.ts') },
      logLevel: 'error',
    });
    const { stdout, stderr } = spawnSync(process.execPath, [bundle, folder], { encoding: 'utf8' });
    expect(JSON.parse(stdout || stderr)).toEqual([
      { name: 'x/2.jpg', message: 'a JPEG image needs the package sharp: npm install sharp' },
    ]);
  });
});

const sprites = '../shared/data/sprites';

describe.skipIf(!existsSync(sprites))('the sprites', () => {
  it('are all read, in their four classes', async () => {
    const { dataset, labels, shape } = await readAll(sprites, { shape: [4, 32, 32] });
    const classes = ['dungeon', 'effect', 'item', 'monster'];
    expect(dataset.labels).toEqual(classes);
    expect(dataset.problems).toEqual([]);
    const counts = classes.map((name) => readdirSync(path.join(sprites, name)).length);
    expect(classes.map((_, i) => labels.filter((label) => label === i).length)).toEqual(counts);
    expect(shape).toEqual([counts.reduce((a, b) => a + b), 4, 32, 32]);
    expect(dataset.notes).toEqual(['left out what is not named as an image: ARTISTS.md']);
  });

  it('lie on white, or on the colour that is asked for: the same as sharp makes of one', async () => {
    const [name] = readdirSync(path.join(sprites, 'dungeon')).sort();
    for (const background of ['#ffffff', '#204060']) {
      const dataset = await openDataset(sprites, { background, count: 1 });
      const { data } = await all(dataset);
      const flat = await sharp(readFileSync(path.join(sprites, 'dungeon', name)))
        .flatten({ background })
        .raw()
        .toBuffer();
      const planes = Uint8Array.from(flat, (_, i) => flat[(i % 1024) * 3 + Math.floor(i / 1024)]);
      expect(data.every((value, i) => Math.abs(value - planes[i]) <= 1)).toBe(true);
    }
  });
});
