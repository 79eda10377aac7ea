import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { readIdxHeader } from '../../src/data/idx.ts';
import { openDataset } from '../../src/data/index.ts';
import { serve, type TestServer } from '../runtime/server.ts';
import { temporaryFolder } from '../support/cli.ts';
import { bytesOf, failure, idx, readAll, write } from './support.ts';

const images = idx([5, 3, 2]);
const labels = idx([5], Uint8Array.of(4, 3, 2, 1, 0));

describe('an idx file', () => {
  it.each([
    ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte'],
    ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte.gz'],
    ['train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'],
    ['t10k-images.idx3-ubyte.gz', 't10k-labels.idx1-ubyte'],
    ['images', 'labels'],
  ])('%s gives its images, with the labels of %s', async (imageFile, labelFile) => {
    const pack = (name: string, bytes: Uint8Array) => (name.endsWith('.gz') ? gzipSync(bytes) : bytes);
    const folder = write(temporaryFolder(), {
      [imageFile]: pack(imageFile, images),
      [labelFile]: pack(labelFile, labels),
    });
    const file = path.join(folder, imageFile);
    for (const place of [file, pathToFileURL(file)]) {
      const read = await readAll(place, { batch: 2 });
      expect(read.dataset).toMatchObject({ name: imageFile, shape: [1, 3, 2], count: 5, notes: [], problems: [] });
      expect(read.data).toEqual(bytesOf([5, 3, 2]));
      expect([...read.labels]).toEqual([4, 3, 2, 1, 0]);
    }
  });

  it('of four axes has the channels of a pixel side by side, and yields planes', async () => {
    const folder = write(temporaryFolder(), {
      'images-idx4-ubyte': idx([1, 1, 2, 3], Uint8Array.of(1, 2, 3, 4, 5, 6)),
    });
    const read = await readAll(path.join(folder, 'images-idx4-ubyte'));
    expect(read.dataset.shape).toEqual([3, 1, 2]);
    expect([...read.data]).toEqual([1, 4, 2, 5, 3, 6]);
  });

  it('without labels beside it has none, and says so', async () => {
    const folder = write(temporaryFolder(), { 'x-images-idx3-ubyte': images, 'other.idx': images });
    const { dataset, labels } = await readAll(path.join(folder, 'x-images-idx3-ubyte'));
    expect(labels).toHaveLength(0);
    expect(dataset.notes).toEqual([
      'no labels: there is no x-labels-idx1-ubyte or x-labels-idx1-ubyte.gz beside x-images-idx3-ubyte',
    ]);
    expect((await openDataset(path.join(folder, 'other.idx'))).notes[0]).toMatch(/^no labels: those of a file named/);
  });

  it.each([
    ['a wrong magic', Uint8Array.of(1, 2, 3, 4, 5), /expected an idx file, which begins 00 00 08 .*, got 01 02 03 04$/],
    [
      'floats',
      Uint8Array.of(0, 0, 0x0d, 3, ...new Uint8Array(12)),
      /expected an idx file of unsigned bytes, type 08, got type 0d$/,
    ],
    ['labels only', labels, /expected images, got labels alone: name the file of the images$/],
    ['two axes', idx([2, 2]), /expected images \[count, height, width\] or .*, got \[2, 2\]$/],
    ['two channels', idx([2, 2, 2, 2]), /got \[2, 2, 2, 2\]$/],
    ['no images', idx([0, 3, 2]), /no usable image: there is none$/],
    ['images of no height', idx([5, 0, 2]), /got \[5, 0, 2\]$/],
    ['images too large', idx([1, 65536, 65536], new Uint8Array(9)), /got \[1, 65536, 65536\]$/],
    ['bytes too few', images.subarray(0, 40), /expected 46 bytes for shape \[5, 3, 2\], got 40$/],
    ['bytes too many', Buffer.concat([images, images]), /expected 46 bytes for shape \[5, 3, 2\], got 92$/],
    ['half a header', images.subarray(0, 9), /expected an idx header of 16 bytes, got 9$/],
    ['nothing', new Uint8Array(), /expected a dataset, got an empty file$/],
  ])('with %s is refused by name', async (_, bytes, message) => {
    const file = path.join(write(temporaryFolder(), { 'images-idx3-ubyte': bytes }), 'images-idx3-ubyte');
    const error = await failure(file);
    expect(error.code).toBe('dataset-invalid');
    expect(error.message).toMatch(message);
    expect(error.message).toContain(file);
    if (bytes.length === 0) return;
    // the same within gzip, where lengths show late
    const packed = `${file}.gz`;
    write('/', { [packed]: gzipSync(bytes) });
    expect((await failure(packed)).message).toContain(packed);
  });

  it('refuses labels of another number than the images, and labels that are none', async () => {
    const folder = write(temporaryFolder(), { images, labels: idx([4]) });
    expect((await failure(path.join(folder, 'images'))).message).toBe(
      `${folder}/labels: expected 5 labels, one an image, got [4]`,
    );
    write(folder, { labels: 'hello' });
    expect((await failure(path.join(folder, 'images'))).message).toMatch(/labels: expected an idx file/);
  });

  it('names labels out of range and leaves their images out, or stops at the first if strict', async () => {
    const file = path.join(write(temporaryFolder(), { images, labels }), 'images');
    const { dataset, shape, labels: kept } = await readAll(file, { classes: 3 });
    expect(shape[0]).toBe(3);
    expect([...kept]).toEqual([2, 1, 0]);
    expect(dataset.problems).toEqual([
      { name: 'image 0', message: 'expected a label in 0..2, got 4' },
      { name: 'image 1', message: 'expected a label in 0..2, got 3' },
    ]);
    expect((await failure(file, { labels: ['a', 'b', 'c'], strict: true })).message).toBe(
      `${file}: image 0: expected a label in 0..2, got 4`,
    );
  });

  it('of which 10,000 images are bad is given up', async () => {
    const labels = idx([10_001], new Uint8Array(10_001).fill(1));
    const file = path.join(write(temporaryFolder(), { images: idx([10_001, 1, 1]), labels }), 'images');
    expect((await failure(file, { classes: 1 })).message).toMatch(
      /given up after 10000 bad images, the first: image 0: expected a label in 0\.\.0, got 1$/,
    );
  });

  it('cut short in gzip says so, after the images before the cut; the checksum counts too', async () => {
    const many = idx([2000, 8, 8]);
    const packed = gzipSync(many);
    const file = path.join(
      write(temporaryFolder(), { 'images.gz': packed.subarray(0, packed.length / 2) }),
      'images.gz',
    );
    const dataset = await openDataset(file);
    let seen = 0;
    const reading = async () => {
      for await (const { shape } of dataset) seen += shape[0];
    };
    await expect(reading()).rejects.toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringMatching(/images\.gz: the gzip data is cut short or damaged after \d+ unpacked bytes: /),
    });
    expect(seen).toBeGreaterThan(0);
    expect(seen).toBeLessThan(2000);

    packed[packed.length - 6] ^= 1;
    write('/', { [file]: packed });
    expect((await failure(file)).message).toMatch(
      /the gzip data is cut short or damaged after \d+ unpacked bytes: incorrect data check/,
    );
    write('/', { [file]: packed.subarray(0, 5) });
    expect((await failure(file)).message).toMatch(/the gzip data is cut short or damaged after 0 unpacked bytes/);
  });

  it('header: any bytes give axes or a DdpmError', () => {
    const start = fc.constantFrom([0, 0, 8, 3], [0, 0, 8, 1], [0, 0, 13, 2], []);
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 24 }), (start, rest) => {
        try {
          const { shape, begin } = readIdxHeader(Uint8Array.of(...start, ...rest), 'x');
          expect(begin).toBe(4 + 4 * shape.length);
        } catch (error) {
          expect(error).toBeInstanceOf(DdpmError);
        }
      }),
    );
  });
});

describe('a URL', () => {
  let server: TestServer;
  const files: Record<string, Uint8Array> = { '/d/x-images.gz': gzipSync(images), '/d/x-labels': labels };
  beforeAll(async () => {
    server = await serve((path) => (files[path] ? { body: files[path] } : undefined));
  });
  afterAll(() => server.close());

  it('is downloaded once for any number of iterations, labels too, and its query stays out of sight', async () => {
    const dataset = await openDataset(`${server.url}/d/x-images.gz?key=secret`);
    for (let i = 0; i < 2; i++) for await (const batch of dataset) expect([...batch.labels!]).toEqual([4, 3, 2, 1, 0]);
    expect(dataset.name).toBe('x-images.gz');
    expect(server.requests).toEqual([
      'GET /d/x-images.gz?key=secret',
      'GET /d/x-labels.gz?key=secret',
      'GET /d/x-labels?key=secret',
    ]);
    const missing = await failure(`${server.url}/d/none?key=secret`);
    expect(missing).toMatchObject({ code: 'dataset-not-found', message: `nothing at ${server.url}/d/none` });
  });

  it('of a folder is refused: HTTP lists none', async () => {
    expect(await failure(`${server.url}/d/`)).toMatchObject({
      code: 'dataset-not-found',
      message: `${server.url}/d/: a folder cannot be listed over HTTP: name a file of it`,
    });
  });
});

const fashion = '../shared/data/fashion-mnist';

describe.skipIf(!existsSync(fashion))('Fashion-MNIST', () => {
  it('test set: the 10,000 images and labels that gunzip shows, in its order', async () => {
    const { data, labels, shape } = await readAll(path.join(fashion, 't10k-images-idx3-ubyte.gz'), { batch: 1000 });
    expect(shape).toEqual([10_000, 1, 28, 28]);
    const unpacked = (name: string, header: number) =>
      gunzipSync(readFileSync(path.join(fashion, name))).subarray(header);
    expect(Buffer.compare(data, unpacked('t10k-images-idx3-ubyte.gz', 16))).toBe(0);
    expect(Buffer.compare(Uint8Array.from(labels), unpacked('t10k-labels-idx1-ubyte.gz', 8))).toBe(0);
  });

  it('folder is refused with the name of a file to take', async () => {
    expect((await failure(fashion)).message).toMatch(/other data: name a file of it, such as \S*ubyte\.gz$/);
  });
});
