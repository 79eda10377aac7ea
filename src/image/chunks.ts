import { type ArgumentError, wrongValue } from '../core/errors.ts';

/** A chunk of a PNG file: four letters and bytes. */
export interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
}

/** The eight bytes that every PNG begins with. */
export const pngSignature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** The chunks of a PNG file up to its end, as views of it. @throws RangeError for damaged bytes. */
export function readChunks(bytes: Uint8Array): Chunk[] {
  const chunks = [readFirstChunk(bytes)];
  for (let at = pngSignature.length; ; ) {
    const { type, data } = chunks[chunks.length - 1];
    if (type === 'IEND') return chunks;
    at += 12 + data.length;
    if (at + 12 > bytes.length) throw damaged('a last chunk IEND', 'none');
    chunks.push(readChunk(bytes, at));
  }
}

/** The first chunk of a PNG file, of which no more is needed. @throws RangeError for damaged bytes. */
export function readFirstChunk(bytes: Uint8Array): Chunk {
  if (!pngSignature.every((byte, i) => bytes[i] === byte)) throw wrongValue('bytes', 'a PNG file', bytes);
  if (bytes.length < pngSignature.length + 12) throw damaged('a last chunk IEND', 'none');
  return readChunk(bytes, pngSignature.length);
}

function readChunk(bytes: Uint8Array, at: number): Chunk {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(at);
  if (at + 12 + length > bytes.length) throw damaged(`a chunk at byte ${at} within the file`, `${length} bytes`);
  if (view.getUint32(at + 8 + length) !== crc32(bytes.subarray(at + 4, at + 8 + length)))
    throw damaged(`the checksum of the chunk at byte ${at}`, 'another');
  const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
  return { type, data: bytes.subarray(at + 8, at + 8 + length) };
}

/** A PNG file of chunks. */
export function writeChunks(chunks: readonly Chunk[]): Uint8Array {
  const size = chunks.reduce((sum, { data }) => sum + 12 + data.length, pngSignature.length);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set(pngSignature);
  let at = pngSignature.length;
  for (const { type, data } of chunks) {
    view.setUint32(at, data.length);
    for (let i = 0; i < 4; i++) bytes[at + 4 + i] = type.charCodeAt(i);
    bytes.set(data, at + 8);
    view.setUint32(at + 8 + data.length, crc32(bytes.subarray(at + 4, at + 8 + data.length)));
    at += 12 + data.length;
  }
  return bytes;
}

/** The error for a PNG that is not as it should be. */
export function damaged(expected: string, got: unknown): ArgumentError {
  return wrongValue('bytes', `a PNG with ${expected}`, got);
}

// CRC-32 as in the PNG standard, annex D: reflected polynomial 0xedb88320
const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff];
  return ~crc >>> 0;
}
