import * as v from 'valibot';
import { DdpmError, show, wrongKind, wrongValue } from '../core/errors.ts';
import { decodeMsgpack, encodeMsgpack } from '../core/msgpack.ts';
import { parseSamplingConfig, type SamplingConfig } from '../core/samplingConfig.ts';
import { hasSha256, sha256, toHex } from '../core/sha256.ts';
import { bundleVersion, digestBytes, headBytes, maxBundleBytes, maxManifestBytes, readItems } from './bundleLayout.ts';
import type { JsonObject } from './json.ts';
import { type Labels, parseLabels } from './labels.ts';

export { isBundle } from './bundleLayout.ts';
export type { JsonObject } from './json.ts';
export type { Labels } from './labels.ts';

/** How the weights of a network are stored. */
export type BundleDtype = (typeof dtypes)[number];

/** A model in one file, in its parts: what a .ddpm file holds. */
export interface Bundle {
  /** What to call the model: 1 to 100 characters, none of them control characters. */
  readonly name: string;
  /** The ONNX file of the network, with all of its weights. */
  readonly network: Uint8Array;
  /** How the weights are stored, where that is known. */
  readonly dtype?: BundleDtype;
  /** A diffusers scheduler_config.json object. */
  readonly scheduler?: JsonObject;
  /** The network's diffusers config.json object. */
  readonly config?: JsonObject;
  /** The names of the classes, and the label that means none. */
  readonly labels?: Labels;
  /** How to sample the model where nothing else is asked for. */
  readonly sampling?: SamplingConfig;
  /** The model card, Markdown. */
  readonly card?: string;
  /** A PNG file of samples. */
  readonly preview?: Uint8Array;
}

/** A bundle that was read: `network` and `preview` are views of its bytes. */
export interface DecodedBundle extends Bundle {
  readonly version: number;
  /** The SHA-256 of the manifest, which holds those of the other parts: it stands for the whole file. Hexadecimal. */
  readonly sha256: string;
}

/**
 * The bytes of a .ddpm file: see models/FORMAT.md. Equal bundles give equal bytes.
 *
 * @throws TypeError or RangeError naming the part; DdpmError `config-invalid`, `out-of-memory` beyond 2 GiB, or
 * `device-unavailable` on a page that is not served over https
 */
export async function encodeBundle(bundle: Bundle): Promise<Uint8Array<ArrayBuffer>> {
  assertSha256();
  checkBundle(bundle);
  const { name, dtype, scheduler, config, labels, sampling, card } = bundle;
  const [network, preview] = [plain(bundle.network), plain(bundle.preview ?? new Uint8Array())];
  const size = network.length + preview.length + maxManifestBytes;
  if (size > maxBundleBytes)
    throw new DdpmError('out-of-memory', `a bundle expected at most ${maxBundleBytes} bytes, got ${size}`);

  const digests = { network: await sha256(network), preview: preview.length > 0 ? await sha256(preview) : undefined };
  const manifest = encodeMsgpack({ name, dtype, scheduler, config, labels, sampling, card, digests });
  if (manifest.length > maxManifestBytes)
    throw wrongValue('bundle', `at most ${maxManifestBytes} bytes beside network and preview`, manifest.length);
  // what another reader would refuse is not written
  readManifest(manifest, (expected, got) => wrongValue('bundle', expected, got));
  const bytes = encodeMsgpack([...headBytes, await sha256(manifest), manifest, preview, network], size);
  return bytes;
}

/**
 * The model in the bytes of a .ddpm file. Nothing is made that is larger than a small part of the file, and nothing of it
 * is believed before its digest was found right.
 *
 * @param name what messages call the file
 * @throws DdpmError `model-invalid`: no bundle, of a later version, cut short or damaged; `config-invalid`;
 * `device-unavailable` on a page that is not served over https
 */
export async function decodeBundle(bytes: Uint8Array, name = 'bundle'): Promise<DecodedBundle> {
  if (!(bytes instanceof Uint8Array)) throw wrongKind('bytes', 'a Uint8Array', bytes);
  assertSha256();
  const fail: Fail = (expected, got) => new DdpmError('model-invalid', `${name}: expected ${expected}, got ${got}`);
  const { digest, manifest, preview, network } = readItems(plain(bytes), fail);
  await assertDigest(manifest, digest, 'a manifest', fail);
  const { digests, ...described } = readManifest(manifest, fail);
  if ((digests.preview !== undefined) !== preview.length > 0) throw fail('a preview with a digest', 'one of the two');
  if (digests.preview) await assertDigest(preview, digests.preview, 'a preview', fail);
  await assertDigest(network, digests.network, 'a network', fail);

  const { scheduler, config, labels, sampling, ...rest } = described;
  const decoded = {
    ...rest,
    version: bundleVersion,
    sha256: toHex(digest),
    network,
    scheduler,
    config,
    labels: labels === undefined ? undefined : parseLabels(labels, `${name}: labels`),
    sampling: sampling === undefined ? undefined : parseSamplingConfig(sampling, `${name}: sampling`),
    preview: preview.length > 0 ? preview : undefined,
  };
  if (decoded.preview && !isPng(decoded.preview)) throw fail('a PNG file as preview', 'something else');
  return decoded;
}

type Fail = (expected: string, got: string) => Error;

const dtypes = ['fp32', 'fp16', 'int8'] as const;
const printable = /^\P{C}{1,100}$/u;
const maxDepth = 16;

const digest = v.custom<Uint8Array<ArrayBuffer>>(
  (value) => value instanceof Uint8Array && value.length === digestBytes,
  `${digestBytes} bytes`,
);
const jsonObject = v.custom<JsonObject>((value) => isJson(value) && isObject(value), 'what a JSON object can say');

// keys that a later writer adds are passed over
const manifestSchema = v.object(
  {
    name: v.pipe(v.string('a name'), v.regex(printable, 'a name of at most 100 printable characters')),
    dtype: v.optional(v.picklist(dtypes, `one of ${dtypes.join(', ')}`)),
    scheduler: v.optional(jsonObject),
    config: v.optional(jsonObject),
    labels: v.optional(jsonObject),
    sampling: v.optional(jsonObject),
    card: v.optional(v.string('text')),
    digests: v.object({ network: digest, preview: v.optional(digest) }, 'digests'),
  },
  'a map',
);

function readManifest(bytes: Uint8Array, fail: Fail): v.InferOutput<typeof manifestSchema> {
  let decoded: unknown;
  try {
    decoded = decodeMsgpack(bytes);
  } catch (error) {
    throw fail('a manifest', `bytes that are none: ${(error as Error).message}`);
  }
  const parsed = v.safeParse(manifestSchema, decoded);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const key = v.getDotPath(issue) ?? 'manifest';
  throw fail(issue.input === undefined ? `"${key}"` : `"${key}" to be ${issue.message}`, show(issue.input));
}

// without it there is nothing to believe
function assertSha256(): void {
  if (!hasSha256())
    throw new DdpmError('device-unavailable', 'SHA-256: browsers offer it over https and on localhost only');
}

async function assertDigest(bytes: Uint8Array<ArrayBuffer>, digest: Uint8Array, what: string, fail: Fail) {
  const found = await sha256(bytes);
  if (found.some((byte, i) => byte !== digest[i])) throw fail(`${what} that its SHA-256 confirms`, 'damaged content');
}

function checkBundle(bundle: Bundle): void {
  if (!isObject(bundle)) throw wrongKind('bundle', 'the parts of a model', bundle);
  const { name, network, dtype, scheduler, config, labels, sampling, card, preview } = bundle;
  if (typeof name !== 'string') throw wrongKind('name', 'text', name);
  if (!printable.test(name)) throw wrongValue('name', '1 to 100 printable characters', name);
  if (!(network instanceof Uint8Array)) throw wrongKind('network', 'the bytes of an .onnx file', network);
  if (network.length === 0) throw wrongValue('network', 'the bytes of an .onnx file', 'none');
  if (dtype !== undefined && !dtypes.includes(dtype)) throw wrongValue('dtype', `one of ${dtypes.join(', ')}`, dtype);
  for (const [key, value] of Object.entries({ scheduler, config, labels, sampling }))
    if (value !== undefined && !(isObject(value) && isJson(value))) throw wrongKind(key, 'a JSON object', value);
  if (labels !== undefined) parseLabels(labels, 'labels');
  if (sampling !== undefined) parseSamplingConfig(sampling, 'sampling');
  if (card !== undefined && typeof card !== 'string') throw wrongKind('card', 'text', card);
  if (preview === undefined) return;
  if (!(preview instanceof Uint8Array)) throw wrongKind('preview', 'the bytes of a PNG file', preview);
  if (!isPng(preview)) throw wrongValue('preview', 'the bytes of a PNG file', preview);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

function isJson(value: unknown, depth = 0): boolean {
  if (value === null || value === undefined || ['boolean', 'number', 'string'].includes(typeof value)) return true;
  if (depth > maxDepth || !(Array.isArray(value) || isObject(value))) return false;
  return Object.values(value).every((item) => isJson(item, depth + 1));
}

function isPng(bytes: Uint8Array): boolean {
  return [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a].every((byte, i) => bytes[i] === byte);
}

// neither a digest nor onnxruntime takes memory that threads share
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}
