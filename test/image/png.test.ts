import fc from 'fast-check';
import { decode, encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { type Chunk, readChunks, writeChunks } from '../../src/image/chunks.ts';
import type { Pixels } from '../../src/image/pixels.ts';
import { decodePng, encodePng } from '../../src/image/png.ts';

/** Any image of up to 12x12 pixels. */
const anyImage = fc
  .record({
    width: fc.integer({ min: 1, max: 12 }),
    height: fc.integer({ min: 1, max: 12 }),
    channels: fc.constantFrom(1, 3, 4),
  })
  .chain(({ width, height, channels }) =>
    fc
      .uint8Array({ minLength: width * height * channels, maxLength: width * height * channels })
      .map((data) => ({ data, width, height, channels }) as Pixels),
  );

const small: Pixels = { data: Uint8Array.of(1, 2, 3, 4, 5, 6), width: 3, height: 2, channels: 1 };

describe('encodePng and decodePng', () => {
  it('decode(encode(image)) = image, for any image', async () => {
    await fc.assert(
      fc.asyncProperty(anyImage, async (image) => {
        expect(await decodePng(encodePng(image))).toEqual(image);
      }),
    );
  });

  it('encode the same image to the same bytes', () => {
    expect(encodePng(small)).toEqual(encodePng({ ...small, data: small.data.slice() }));
  });

  it('decode 16 bits to the higher 8', async () => {
    const bytes = encode({ data: Uint16Array.of(0x1234, 0xff00), width: 2, height: 1, channels: 1, depth: 16 });
    expect(await decodePng(bytes)).toEqual({ data: Uint8Array.of(0x12, 0xff), width: 2, height: 1, channels: 1 });
  });

  it('decode grey with alpha to RGBA', async () => {
    const bytes = encode({ data: Uint8Array.of(9, 128, 7, 255), width: 2, height: 1, channels: 2 });
    const data = Uint8Array.of(9, 9, 9, 128, 7, 7, 7, 255);
    expect(await decodePng(bytes)).toEqual({ data, width: 2, height: 1, channels: 4 });
  });

  it.each([
    [1, [0b10110000, 0b01000000], [255, 0, 255, 0, 255, 0]],
    [2, [0b00011100, 0b11111100], [0, 85, 255, 255, 255, 255]],
    [4, [0x0f, 0x10, 0xff, 0x20], [0, 255, 17, 255, 255, 34]],
  ])('decode grey of %i bits to 0..255, line by line', async (depth, packed, grey) => {
    // 3x2 pixels; every line starts a new byte
    const bytes = encode({ data: Uint8Array.from(packed), width: 3, height: 2, channels: 1, depth: depth as 1 });
    expect(Array.from((await decodePng(bytes)).data)).toEqual(grey);
  });

  it('decode a palette to RGB', async () => {
    const palette = [
      [255, 0, 0],
      [0, 0, 255],
    ];
    const bytes = encode({ data: Uint8Array.of(1, 0), width: 2, height: 1, channels: 1, palette });
    expect(await decodePng(bytes)).toEqual({
      data: Uint8Array.of(0, 0, 255, 255, 0, 0),
      width: 2,
      height: 1,
      channels: 3,
    });
  });

  it('decode an interlaced image', async () => {
    const bytes = encode({ ...small, data: small.data as Uint8Array }, { interlace: 'Adam7' });
    expect(await decodePng(bytes)).toEqual(small);
  });

  it.each([
    [{ ...small, channels: 2 }, /"image.channels" expected 1 \(grey\), 3 \(RGB\) or 4 \(RGBA\), got 2/],
    [{ ...small, width: 4 }, /"image.data" expected 8 bytes, got 6/],
    [{ ...small, height: 0 }, /"image.height" expected an integer in 1..65536, got 0/],
    [{ ...small, data: [1, 2, 3, 4, 5, 6] }, /"image" expected an image/],
    [null, /"image" expected an image/],
  ])('encodePng refuses %j by name', (image, message) => {
    expect(() => encodePng(image as Pixels)).toThrow(message);
  });
});

describe('decodePng on hostile files', () => {
  const isArgumentError = (error: unknown) =>
    expect(error).toMatchObject({ code: 'invalid-argument', message: expect.stringMatching(/^[^\n]*$/) });

  it('throws only argument errors of one line for changed, cut or any bytes', async () => {
    const valid = encodePng(small);
    const changed = fc
      .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
      .map((changes) => changes.reduce((bytes, [at, value]) => bytes.with(at, value), valid));
    const cut = fc.nat(valid.length - 1).map((end) => valid.subarray(0, end));
    await fc.assert(
      fc.asyncProperty(fc.oneof(changed, cut, fc.uint8Array()), async (bytes) => {
        await decodePng(bytes).catch(isArgumentError);
      }),
      { numRuns: 500 },
    );
  });

  it('throws only argument errors for chunks of any content with a right checksum', async () => {
    const type = fc.constantFrom('IHDR', 'PLTE', 'tRNS', 'IDAT', 'iCCP', 'tEXt', 'pHYs', 'IEND');
    const chunks = fc.array(fc.record({ type, data: fc.uint8Array({ maxLength: 40 }) }), { maxLength: 5 });
    const header = readChunks(encodePng(small))[0];
    await fc.assert(
      fc.asyncProperty(chunks, fc.nat(255), fc.nat(12), async (rest, value, at) => {
        const first = { type: 'IHDR', data: header.data.with(at, value) };
        const bytes = writeChunks([first, ...rest, { type: 'IEND', data: new Uint8Array() }]);
        await decodePng(bytes, { maxPixels: 2 ** 16 }).catch(isArgumentError);
      }),
      { numRuns: 500 },
    );
  });

  function withHeader(width: number, height: number, idat: Uint8Array): Uint8Array {
    const data = new Uint8Array(13);
    const view = new DataView(data.buffer);
    view.setUint32(0, width);
    view.setUint32(4, height);
    data.set([8, 0, 0, 0, 0], 8);
    const chunks: Chunk[] = [
      { type: 'IHDR', data },
      { type: 'IDAT', data: idat },
      { type: 'IEND', data: new Uint8Array() },
    ];
    return writeChunks(chunks);
  }

  it.each([
    [5000, 5000],
    [2 ** 31, 1],
    [0, 1],
  ])('refuses %i x %i pixels before allocating them', async (width, height) => {
    const promise = decodePng(withHeader(width, height, new Uint8Array()));
    await expect(promise).rejects.toThrow(/expected a PNG with at most 16777216 pixels, 65536 a side, got "\d+x\d+"/);
  });

  it('refuses 100 MB of image data in a file of 100 kB that claims 4x4 pixels, without unpacking all of it', async () => {
    const stream = new Blob([new Uint8Array(100_000_000)]).stream().pipeThrough(new CompressionStream('deflate'));
    const packed = new Uint8Array(await new Response(stream).arrayBuffer());
    expect(packed.length).toBeLessThan(110_000);
    await expect(decodePng(withHeader(4, 4, packed))).rejects.toThrow(/at most 40 bytes of image data/);
  });

  it('refuses "maxPixels" and bytes of the wrong kind', async () => {
    await expect(decodePng(encodePng(small), { maxPixels: 5 })).rejects.toThrow('at most 5 pixels');
    await expect(decodePng(encodePng(small), { maxPixels: 0 })).rejects.toThrow('"maxPixels" expected');
    await expect(decodePng('text' as never)).rejects.toThrow('"bytes" expected a Uint8Array');
  });
});

describe('chunks', () => {
  it('writeChunks(readChunks(png)) = png', () => {
    const png = encodePng(small);
    expect(writeChunks(readChunks(png))).toEqual(png);
    expect(decode(writeChunks(readChunks(png)), { checkCrc: true }).data).toEqual(small.data);
  });
});
