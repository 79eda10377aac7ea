import { existsSync } from 'node:fs';
import { decodeApng } from 'fast-png';
import { chromium } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { createApng, encodeApng } from '../../src/image/apng.ts';
import { readChunks } from '../../src/image/chunks.ts';
import type { Pixels } from '../../src/image/pixels.ts';
import { decodePng } from '../../src/image/png.ts';

const frames = [0, 1, 2].map(
  (frame): Pixels => ({
    data: Uint8Array.from({ length: 5 * 4 * 3 }, (_, i) => (i * (frame + 3)) % 256),
    width: 5,
    height: 4,
    channels: 3,
  }),
);

describe('encodeApng', () => {
  it('keeps every frame, its delay and the number of plays', () => {
    const png = decodeApng(encodeApng(frames, { delayMs: 40, lastDelayMs: 2000, loop: 3 }), { checkCrc: true });
    expect(png).toMatchObject({ width: 5, height: 4, channels: 3, numberOfFrames: 3, numberOfPlays: 3 });
    expect(png.frames.map(({ data }) => data)).toEqual(frames.map(({ data }) => data));
    expect(png.frames.map((frame) => frame.delayNumber / frame.delayDenominator)).toEqual([0.04, 0.04, 2]);
  });

  it('is a PNG of the first frame to a reader that knows no animation', async () => {
    expect(await decodePng(encodeApng(frames))).toEqual(frames[0]);
  });

  it('numbers fcTL and fdAT chunks 0, 1, 2, ... in the order of the file', () => {
    const chunks = readChunks(encodeApng(frames)).filter(({ type }) => type === 'fcTL' || type === 'fdAT');
    const numbers = chunks.map(({ data }) => new DataView(data.buffer, data.byteOffset).getUint32(0));
    expect(numbers).toEqual([0, 1, 2, 3, 4]);
  });

  it('gives the same bytes frame by frame, and from any iterable', () => {
    const writer = createApng();
    for (const frame of frames) writer.add(frame);
    expect(writer.finish()).toEqual(encodeApng(new Set(frames)));
  });

  it('refuses no frames, frames of another size, and options by name', () => {
    expect(() => encodeApng([])).toThrow('"frames" expected at least one frame');
    const other = { data: new Uint8Array(3), width: 1, height: 1, channels: 3 } as const;
    expect(() => encodeApng([frames[0], other])).toThrow('"frame" expected the size and channels of the first frame');
    expect(() => encodeApng(frames, { delayMs: -1 })).toThrow('"delayMs" expected');
    expect(() => encodeApng(frames, { loop: 0.5 })).toThrow('"loop" expected');
    expect(() => encodeApng(frames, { delay: 3 } as object)).toThrow('"delay" expected no such option');
  });
});

const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));

describe.skipIf(!executablePath)('encodeApng in Chromium', () => {
  it('plays: ImageDecoder finds the frames, their pixels and durations', async () => {
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    const base64 = Buffer.from(encodeApng(frames, { delayMs: 40, lastDelayMs: 2000, loop: 3 })).toString('base64');
    // a file: page is a secure context, which ImageDecoder needs
    const page = await browser.newPage();
    await page.goto('file:///');
    const seen = await page.evaluate(async (base64) => {
      const image = new Image();
      image.src = `data:image/png;base64,${base64}`;
      await image.decode();
      const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const decoder = new ImageDecoder({ data, type: 'image/png' });
      await decoder.tracks.ready;
      const { frameCount, repetitionCount } = decoder.tracks.selectedTrack!;
      const context = new OffscreenCanvas(5, 4).getContext('2d')!;
      const decoded = [];
      for (let frameIndex = 0; frameIndex < frameCount; frameIndex++) {
        const { image: frame } = await decoder.decode({ frameIndex });
        context.drawImage(frame, 0, 0);
        const rgb = Array.from(context.getImageData(0, 0, 5, 4).data).filter((_, i) => i % 4 !== 3);
        decoded.push({ rgb, duration: frame.duration });
      }
      return { width: image.naturalWidth, height: image.naturalHeight, frameCount, repetitionCount, decoded };
    }, base64);
    await browser.close();
    // Chromium counts the plays after the first
    expect(seen).toMatchObject({ width: 5, height: 4, frameCount: 3, repetitionCount: 2 });
    expect(seen.decoded.map(({ rgb }) => rgb)).toEqual(frames.map(({ data }) => Array.from(data)));
    expect(seen.decoded.map(({ duration }) => duration)).toEqual([40_000, 40_000, 2_000_000]);
  });
});
