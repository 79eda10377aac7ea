import path from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { mostNpyHeader, readNpyHeader } from '../../src/data/npy.ts';
import { type StoredType, writeSafetensors } from '../../src/onnx/safetensors.ts';
import { temporaryFolder } from '../support/cli.ts';
import { bytesOf, failure, npy, readAll, write } from './support.ts';

const folder = temporaryFolder;

function f32(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

function i64(...values: number[]): Uint8Array {
  return new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
}

/** A file of arrays, in either format, by name. */
function stored(dtype: StoredType, shape: readonly number[], data: Uint8Array = bytesOf(shape)) {
  return { dtype, shape, data };
}

describe('an .npy file', () => {
  it.each([
    ['[count, channels, height, width]', [2, 3, 5, 2], [3, 5, 2], (i: number) => i],
    [
      '[count, height, width, channels]',
      [2, 2, 5, 3],
      [3, 2, 5],
      (i: number) => (i % 10) * 3 + (Math.floor(i / 10) % 3) + 30 * Math.floor(i / 30),
    ],
    ['[count, height, width]', [2, 3, 2], [1, 3, 2], (i: number) => i],
    ['[count, 1, height, width]', [2, 1, 5, 2], [1, 5, 2], (i: number) => i],
  ])('of bytes %s gives its images', async (_, shape, image, from) => {
    const data = bytesOf(shape);
    const place = path.join(write(folder(), { 'x.npy': npy('|u1', shape, data) }), 'x.npy');
    const read = await readAll(place);
    expect(read.dataset).toMatchObject({ shape: image, count: 2 });
    expect(read.data).toEqual(Uint8Array.from(data, (_, i) => data[from(i)]));
  });

  it('of four channels is laid on the background, and keeps them where they are asked for', async () => {
    const file = write(folder(), { 'x.npy': npy('|u1', [1, 4, 1, 2], Uint8Array.of(10, 10, 20, 20, 30, 30, 51, 51)) });
    const place = path.join(file, 'x.npy');
    expect([...(await readAll(place, { background: '#000000' })).data]).toEqual([2, 2, 4, 4, 6, 6]);
    expect([...(await readAll(place, { shape: [4, 1, 2] })).data]).toEqual([10, 10, 20, 20, 30, 30, 51, 51]);
  });

  it('has the labels of the file beside it, gzipped or not', async () => {
    const images = npy('|u1', [5, 2, 2], bytesOf([5, 2, 2]));
    for (const pack of [(bytes: Uint8Array) => bytes, gzipSync]) {
      const suffix = pack === gzipSync ? '.gz' : '';
      const files = {
        [`images.npy${suffix}`]: pack(images),
        [`labels.npy${suffix}`]: pack(npy('<i8', [5], i64(2, -1, 300, 0, 2 ** 40))),
      };
      const { dataset, labels } = await readAll(path.join(write(folder(), files), `images.npy${suffix}`));
      expect([...labels]).toEqual([2, 300, 0]);
      expect(dataset.problems).toEqual([
        { name: 'image 1', message: 'expected a label in 0..2147483647, got -1' },
        { name: 'image 4', message: 'expected a label in 0..2147483647, got 1099511627776' },
      ]);
    }
  });

  it.each([
    [
      'both ends as channels',
      npy('|u1', [2, 3, 4, 3], bytesOf([2, 3, 4, 3])),
      /channels \(1, 3 or 4\) in the second axis or in the last, to tell which, got both in \[2, 3, 4, 3\]$/,
    ],
    [
      'no channels',
      npy('|u1', [2, 5, 6, 7], bytesOf([2, 5, 6, 7])),
      /expected images \[count, channels, height, width\].*got \[2, 5, 6, 7\]$/,
    ],
    [
      'three axes that may be one image',
      npy('|u1', [6, 5, 3], bytesOf([6, 5, 3])),
      /expected four axes, to tell .*, got \[6, 5, 3\]$/,
    ],
    ['one axis', npy('|u1', [6], bytesOf([6])), /got \[6\]$/],
    ['no axis', npy('|u1', [], Uint8Array.of(1)), /got \[\]$/],
    ['Fortran order', npy('|u1', [2, 2, 2], bytesOf([8]), 'True'), /expected an array in C order, got Fortran order$/],
    ['objects', npy('|O', [2, 2, 2], bytesOf([8])), /expected a type among .*, got "\|O"$/],
    ['big-endian floats', npy('>f4', [1, 1, 2], new Uint8Array(4)), /got ">f4"$/],
    [
      '16-bit integers',
      npy('<u2', [1, 1, 2], new Uint8Array(4)),
      /expected bytes \(0 to 255\) or floats \(-1 to 1\), got type U16$/,
    ],
    ['bytes too few', npy('|u1', [2, 2, 2], new Uint8Array(7)), /expected 136 bytes for shape \[2, 2, 2\], got 135$/],
    ['a size beyond all numbers', npy('|u1', [9e14, 9e14, 9e14], new Uint8Array(7)), /x\.npy: expected .* bytes/],
    [
      'an expression',
      Buffer.concat([Uint8Array.of(0x93), Buffer.from("NUMPY\x01\x00\x20\x00{'descr': print(1), 'shape': (1,)}")]),
      /expected a header .* of a plain array, got/,
    ],
    [
      'a header too long',
      Buffer.concat([Uint8Array.of(0x93), Buffer.from('NUMPY\x02\x00\xff\xff\xff\x7f', 'latin1')]),
      /a header of at most 16384 bytes/,
    ],
  ])('with %s is refused by name', async (_, bytes, message) => {
    const error = await failure(path.join(write(folder(), { 'x.npy': bytes }), 'x.npy'));
    expect(error.code).toBe('dataset-invalid');
    expect(error.message).toMatch(message);
  });

  it('header: any shape and type comes back; any change gives a header or a DdpmError', () => {
    const types = fc.constantFrom('|u1', '<i8', '<f4');
    const shapes = fc.array(fc.nat(), { maxLength: 5 });
    fc.assert(
      fc.property(types, shapes, (descr, shape) => {
        const bytes = npy(descr, shape, new Uint8Array());
        expect(readNpyHeader(bytes, 'x')).toMatchObject({ shape, begin: bytes.length });
      }),
    );
    const whole = npy('|u1', [12, 3, 4], new Uint8Array());
    const noise = fc.tuple(fc.nat(whole.length), fc.uint8Array({ maxLength: 30 }), fc.nat(whole.length));
    fc.assert(
      fc.property(noise, ([at, bytes, end]) => {
        const changed = whole.slice();
        changed.set(bytes.subarray(0, whole.length - at), at);
        try {
          const { shape, begin } = readNpyHeader(changed.subarray(0, end), 'x');
          expect(begin).toBeLessThanOrEqual(mostNpyHeader);
          expect(shape.every(Number.isSafeInteger)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(DdpmError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('floats', () => {
  it('lie in [-1, 1]: the byte is round((x + 1) 127.5), clamped as samples are, and a note says so', async () => {
    const data = f32(-1, -1.4, 0, 0.5, 1, 1.2);
    const { dataset, data: bytes } = await readAll(
      path.join(write(folder(), { 'x.npy': npy('<f4', [1, 3, 2], data) }), 'x.npy'),
    );
    expect([...bytes]).toEqual([0, 0, 128, 191, 255, 255]);
    expect(dataset.notes.some((note) => note.endsWith('floats are taken to lie in [-1, 1]'))).toBe(true);
  });

  it('are read back from samples of any float type', async () => {
    const half = new Uint8Array(Uint16Array.of(0xbc00, 0x0000, 0x3c00, 0x3800).buffer);
    const brain = new Uint8Array(Uint16Array.of(0xbf80, 0x0000, 0x3f80, 0x3f00).buffer);
    const double = new Uint8Array(Float64Array.of(-1, 0, 1, 0.5).buffer);
    for (const [dtype, data] of [
      ['F16', half],
      ['BF16', brain],
      ['F64', double],
      ['F32', f32(-1, 0, 1, 0.5)],
    ] as const) {
      const file = writeSafetensors({ samples: stored(dtype, [1, 2, 2], data) });
      const { data: bytes } = await readAll(path.join(write(folder(), { 'x.safetensors': file }), 'x.safetensors'));
      expect([...bytes], dtype).toEqual([0, 128, 255, 191]);
    }
  });

  it('far outside, or no numbers, are named image by image', async () => {
    const file = npy('<f4', [5, 1, 2], f32(0, 255, NaN, 0, 0, 0, 0, -Infinity, 0, 1.6));
    const { dataset, data } = await readAll(path.join(write(folder(), { 'x.npy': file }), 'x.npy'));
    expect([...data]).toEqual([128, 128]);
    expect(dataset.problems).toEqual([
      { name: 'image 0', message: 'expected values in [-1, 1], got 255' },
      { name: 'image 1', message: 'expected values in [-1, 1], got NaN' },
      { name: 'image 3', message: 'expected values in [-1, 1], got -Infinity' },
      { name: 'image 4', message: `expected values in [-1, 1], got ${Math.fround(1.6)}` },
    ]);
  });
});

describe('a safetensors file', () => {
  const labels = stored('I64', [2], i64(1, 0));

  it.each([
    ['images', { images: stored('U8', [2, 1, 5, 6]), samples: stored('U8', [2, 1, 5, 7]), labels }],
    ['samples', { samples: stored('U8', [2, 1, 5, 6]), other: stored('U8', [2, 1, 5, 7]), labels }],
    ['the only one of four axes', { x: stored('U8', [2, 1, 5, 6]), y: stored('U8', [2, 2, 2]), labels }],
    ['the only one of three', { x: stored('U8', [2, 5, 6]), labels }],
  ])('gives tensor %s, with tensor labels', async (_, tensors) => {
    const file = path.join(write(folder(), { x: writeSafetensors(tensors) }), 'x');
    const read = await readAll(file, { batch: 1 });
    expect(read.shape).toEqual([2, 1, 5, 6]);
    expect(read.data).toEqual(bytesOf([2, 1, 5, 6]));
    expect([...read.labels]).toEqual([1, 0]);
  });

  it.each([
    [
      'several that could be it',
      { a: stored('U8', [1, 1, 2, 2]), b: stored('U8', [1, 1, 2, 2]) },
      /tensor "images" or "samples", or a single one of four axes, got "a", "b"$/,
    ],
    ['none', { labels }, /got none$/],
    [
      'labels of another number',
      {
        images: stored('U8', [5, 2, 2]),
        labels,
      },
      /tensor "labels": expected 5 labels, one an image, got \[2\]$/,
    ],
    [
      'labels that are floats',
      { images: stored('U8', [2, 2, 2]), labels: stored('F32', [2], f32(1, 2)) },
      /tensor "labels": expected labels that are whole numbers, got type F32$/,
    ],
  ])('with %s is refused by name', async (_, tensors, message) => {
    const file = path.join(write(folder(), { x: writeSafetensors(tensors) }), 'x');
    expect((await failure(file)).message).toMatch(message);
  });

  it('changed or cut anywhere is read or refused with a DdpmError', async () => {
    const whole = writeSafetensors({ images: stored('U8', [2, 1, 5, 6]), labels });
    const file = path.join(folder(), 'x');
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), async (at, byte, end) => {
        const changed = whole.slice();
        changed[at] = byte;
        write('/', { [file]: changed.subarray(0, end) });
        await readAll(file).catch((error) => expect(error).toBeInstanceOf(DdpmError));
      }),
    );
  });
});
