import { Decoder, Encoder } from '@msgpack/msgpack';

/** Beyond this nesting a file is damage or malice. */
export const maxNesting = 32;

/**
 * A value as MessagePack: typed arrays as binary, keys in order, undefined properties left out. Equal values give equal
 * bytes.
 *
 * @param expectedBytes about how many bytes it will be; a good guess saves copying
 */
export function encodeMsgpack(value: unknown, expectedBytes = 2048): Uint8Array<ArrayBuffer> {
  const options = { initialBufferSize: expectedBytes, sortKeys: true, ignoreUndefined: true, useBigInt64: true };
  return new Encoder({ ...options, maxDepth: maxNesting }).encodeSharedRef(value);
}

/**
 * The value that MessagePack bytes stand for, with binary as views of them and 64-bit integers as bigint.
 *
 * The bytes are not trusted. Every length is held against the bytes that are there before anything is made of it, so
 * what this takes is bounded by a small multiple of their number; extension types are refused.
 *
 * @throws Error, its message what was expected and what came
 */
export function decodeMsgpack(bytes: Uint8Array): unknown {
  checkStructure(bytes);
  return new Decoder({ useBigInt64: true, keyDecoder: null }).decode(bytes);
}

/** Walks over the items of one value: each must end within the bytes, and every item still owed takes one at least. */
function checkStructure(bytes: Uint8Array): void {
  const open = [1]; // items to come, for each list or map that is open
  let owed = 1;
  let at = 0;
  while (open.length > 0) {
    if (open[open.length - 1] === 0) {
      open.pop();
      continue;
    }
    if (at + owed > bytes.length) throw cut(bytes, at + owed);
    const { size, items } = itemAt(bytes, at);
    at += size;
    owed += items - 1;
    open[open.length - 1]--;
    if (items > 0) open.push(items);
    if (open.length > maxNesting) throw new Error(`expected lists and maps at most ${maxNesting} deep, got more`);
  }
  if (at !== bytes.length) throw new Error(`expected ${at} bytes, got ${bytes.length}`);
}

/** The bytes that an item itself takes, and how many more belong to it: MessagePack's table of formats. */
function itemAt(bytes: Uint8Array, at: number): { size: number; items: number } {
  const head = bytes[at];
  if (head < 0x80 || head >= 0xe0) return { size: 1, items: 0 };
  if (head < 0x90) return { size: 1, items: 2 * (head & 15) };
  if (head < 0xa0) return { size: 1, items: head & 15 };
  if (head < 0xc0) return { size: 1 + (head & 31), items: 0 };
  if (Object.hasOwn(fixedSizes, head)) return { size: fixedSizes[head], items: 0 };

  const counted = lengthBytes[head];
  if (counted === undefined) throw new Error(`expected no extension types, got type byte ${head}`);
  if (at + 1 + counted > bytes.length) throw cut(bytes, at + 1 + counted);
  const length = bytes.subarray(at + 1, at + 1 + counted).reduce((sum, byte) => sum * 256 + byte, 0);
  if (head >= 0xde) return { size: 1 + counted, items: 2 * length };
  if (head >= 0xdc) return { size: 1 + counted, items: length };
  return { size: 1 + counted + length, items: 0 };
}

// nil, booleans, floats, integers
const fixedSizes: Readonly<Record<number, number>> = {
  ...{ 192: 1, 194: 1, 195: 1, 202: 5, 203: 9 },
  ...{ 204: 2, 205: 3, 206: 5, 207: 9, 208: 2, 209: 3, 210: 5, 211: 9 },
};

// binary, text, lists, maps
const lengthBytes: Readonly<Record<number, number>> = {
  ...{ 196: 1, 197: 2, 198: 4, 217: 1, 218: 2, 219: 4 },
  ...{ 220: 2, 221: 4, 222: 2, 223: 4 },
};

function cut(bytes: Uint8Array, needed: number): Error {
  return new Error(`expected at least ${needed} bytes, got ${bytes.length}`);
}
