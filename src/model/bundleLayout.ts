/** The version that is written, and the only one that is read. */
export const bundleVersion = 1;
/** Of a SHA-256. */
export const digestBytes = 32;
/** Configs, names and the model card take a few kB. */
export const maxManifestBytes = 2 ** 20;
/** What Node reads in one go. */
export const maxBundleBytes = 2 ** 31 - 1;

const mark = 'ddpm-wasm bundle';
/** What a bundle begins with, before its digest. */
export const headBytes = [mark, bundleVersion] as const;

const markBytes = Uint8Array.of(0xa0 + mark.length, ...new TextEncoder().encode(mark));
const versionAt = 1 + markBytes.length;

/** The parts of a bundle, as views of its bytes. */
export interface Items {
  readonly digest: Uint8Array<ArrayBuffer>;
  readonly manifest: Uint8Array<ArrayBuffer>;
  readonly preview: Uint8Array<ArrayBuffer>;
  readonly network: Uint8Array<ArrayBuffer>;
}

/** Whether bytes begin as a bundle of any version does. */
export function isBundle(bytes: Uint8Array): boolean {
  // a list of at most 15 items, of which the first is the mark
  return bytes[0] >> 4 === 0x9 && markBytes.every((byte, i) => bytes[1 + i] === byte);
}

/**
 * The items of a bundle: one MessagePack list of mark, version, and four binaries. Read by hand: a decoder for any value
 * would make whatever a hostile file lists before anyone could look at it.
 */
export function readItems(bytes: Uint8Array<ArrayBuffer>, fail: (expected: string, got: string) => Error): Items {
  if (!isBundle(bytes)) throw fail('a .ddpm bundle', bytes.length === 0 ? 'nothing' : 'something else');
  const version = bytes[versionAt];
  if (version !== bundleVersion)
    throw fail(`version ${bundleVersion} of the format`, version === undefined ? 'none' : versionName(version));
  if (bytes[0] !== 0x96) throw fail('a list of 6 items', `${bytes[0] & 15}`);

  let at = versionAt + 1;
  const next = () => {
    const { begin, end } = binaryAt(bytes, at, fail);
    at = end;
    return bytes.subarray(begin, end);
  };
  const [digest, manifest, preview, network] = [next(), next(), next(), next()];
  if (at !== bytes.length) throw fail(`${at} bytes`, `${bytes.length}`);
  if (digest.length !== digestBytes) throw fail(`a digest of ${digestBytes} bytes`, `${digest.length}`);
  if (manifest.length > maxManifestBytes)
    throw fail(`at most ${maxManifestBytes} bytes of manifest`, `${manifest.length}`);
  return { digest, manifest, preview, network };
}

/** Where the content of a binary lies: MessagePack's bin 8, bin 16 and bin 32. */
function binaryAt(bytes: Uint8Array, at: number, fail: (expected: string, got: string) => Error) {
  const cut = (needed: number) => fail(`at least ${needed} bytes`, `${bytes.length}: it is cut short`);
  const lengthBytes = { 196: 1, 197: 2, 198: 4 }[bytes[at]];
  if (at >= bytes.length) throw cut(at + 1);
  if (lengthBytes === undefined) throw fail(`binary at byte ${at}`, `type ${bytes[at]}`);
  const begin = at + 1 + lengthBytes;
  if (begin > bytes.length) throw cut(begin);
  const end = bytes.subarray(at + 1, begin).reduce((length, byte) => length * 256 + byte, 0) + begin;
  if (end > bytes.length) throw cut(end);
  return { begin, end };
}

function versionName(byte: number): string {
  return byte > bundleVersion && byte < 0x80 ? `${byte}: a later ddpm-wasm may read it` : `${byte}`;
}
