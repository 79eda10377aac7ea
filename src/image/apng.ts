import { assertInteger, assertKeys } from '../core/assert.ts';
import { wrongValue } from '../core/errors.ts';
import { type Chunk, readChunks, writeChunks } from './chunks.ts';
import type { Pixels } from './pixels.ts';
import { encodePng } from './png.ts';

/** How an animation plays. */
export interface AnimationOptions {
  /** How long a frame stays, in milliseconds. Default 100. */
  readonly delayMs?: number;
  /** How long the last frame stays. Default: as the others. */
  readonly lastDelayMs?: number;
  /** How often it plays; 0 (default) is forever. */
  readonly loop?: number;
}

/** Takes the frames of an animation one at a time and keeps only their packed bytes. */
export interface AnimationWriter {
  /** Appends a frame, of the size and channels of the first. */
  add(frame: Pixels): void;
  /** The animated PNG, of at least one frame. A viewer that knows no animation shows the first frame. */
  finish(): Uint8Array;
}

/** An animated PNG of frames of equal size. */
export function encodeApng(frames: Iterable<Pixels>, options: AnimationOptions = {}): Uint8Array {
  const writer = createApng(options);
  for (const frame of frames) writer.add(frame);
  return writer.finish();
}

/** Starts an animated PNG, frame by frame: https://www.w3.org/TR/png-3/#apng-frame-based-animation. */
export function createApng(options: AnimationOptions = {}): AnimationWriter {
  assertKeys(options, 'options', ['delayMs', 'lastDelayMs', 'loop']);
  const { delayMs = 100, lastDelayMs = delayMs, loop = 0 } = options;
  assertInteger(delayMs, 'delayMs', 0, 65535);
  assertInteger(lastDelayMs, 'lastDelayMs', 0, 65535);
  assertInteger(loop, 'loop', 0, 2 ** 31 - 1);
  let header: Chunk | undefined;
  const frames: Uint8Array[] = [];
  return {
    add(frame) {
      const chunks = readChunks(encodePng(frame));
      header ??= chunks[0];
      if (!header.data.every((byte, i) => byte === chunks[0].data[i]))
        throw wrongValue(
          'frame',
          'the size and channels of the first frame',
          `${frame.width}x${frame.height}x${frame.channels}`,
        );
      frames.push(join(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data)));
    },
    finish() {
      if (!header) throw wrongValue('frames', 'at least one frame', 0);
      const size = header.data.subarray(0, 8);
      const delays = frames.map((_, i) => (i === frames.length - 1 ? lastDelayMs : delayMs));
      const animation = { type: 'acTL', data: uint32s(frames.length, loop) };
      const bodies = frames.flatMap((data, i) => frameChunks(data, i, control(size, delays[i])));
      return writeChunks([header, animation, ...bodies, { type: 'IEND', data: new Uint8Array() }]);
    },
  };
}

/** The chunks of frame i: the first is the still image too, and so has no sequence number on its data. */
function frameChunks(data: Uint8Array, i: number, control: Uint8Array): Chunk[] {
  const sequence = i === 0 ? 0 : 2 * i - 1;
  return [
    { type: 'fcTL', data: join([uint32s(sequence), control]) },
    i === 0 ? { type: 'IDAT', data } : { type: 'fdAT', data: join([uint32s(sequence + 1), data]) },
  ];
}

/** The rest of an fcTL chunk: width and height, no offset, delay in thousandths, no disposal, no blending. */
function control(size: Uint8Array, delayMs: number): Uint8Array {
  return join([size, uint32s(0, 0), Uint8Array.of(delayMs >>> 8, delayMs & 255, 1000 >>> 8, 1000 & 255, 0, 0)]);
}

function uint32s(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value);
  return bytes;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
