import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { encodePng } from '../../src/image/png.ts';
import { type Bundle, decodeBundle, encodeBundle } from '../../src/model/bundle.ts';
import { loadModel } from '../../src/model/load.ts';
import type { LoadOptions, ModelSource } from '../../src/model/types.ts';
import { loadPipeline } from '../../src/pipeline.ts';
import { serve, type TestServer } from '../runtime/server.ts';
import { temporaryFolder } from '../support/cli.ts';
import { smallGraph } from './graphs.ts';

const preview = encodePng({ data: new Uint8Array(4), width: 2, height: 2, channels: 1 });
const bundle: Bundle = {
  name: 'small',
  network: smallGraph({ label: {}, embedding: 4 }),
  dtype: 'fp32',
  scheduler: { _class_name: 'DDPMScheduler', num_train_timesteps: 10, lambda_min_clipped: -Infinity },
  config: { in_channels: 1 },
  labels: { labels: ['cat', 'dog', 'owl'], unconditional: 3 },
  sampling: { sampler: 'ddim', steps: 5, eta: 1 },
  card: '# Small\n',
  preview,
};
let good: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  good = await encodeBundle(bundle);
});

let server: TestServer | undefined;
afterEach(() => server?.close());

type Parts = [mark: string, version: number, digest: Uint8Array, manifest: Uint8Array, ...parts: Uint8Array[]];
const partsOf = () => decode(good) as Parts;
const manifestOf = () => decode(partsOf()[3]) as Record<string, unknown>;
const digestOf = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

/** A bundle whose digest is right, whatever its manifest: only who means harm makes such. */
function sealed(manifest: unknown, { network = bundle.network, picture = preview } = {}): Uint8Array {
  const bytes = manifest instanceof Uint8Array ? manifest : encode(manifest);
  return encode(['ddpm-wasm bundle', 1, digestOf(bytes), bytes, picture, network]);
}

async function load(source: ModelSource, options: LoadOptions = {}) {
  const model = await loadModel(source, { device: 'cpu', ...options });
  await model.dispose();
  return model;
}

describe('a bundle', () => {
  it('gives back its parts; network and preview are views of its bytes', async () => {
    const read = await decodeBundle(good);
    expect(read).toEqual({ ...bundle, version: 1, sha256: Buffer.from(partsOf()[2]).toString('hex') });
    for (const part of [read.network, read.preview!]) expect(part.buffer).toBe(good.buffer);
  });

  it('of a name and a network alone is one', async () => {
    const { network } = bundle;
    expect(await decodeBundle(await encodeBundle({ name: 'n', network }))).toMatchObject({ name: 'n', network });
  });

  it('of equal parts has equal bytes', async () => {
    const turned = Object.fromEntries(Object.entries(bundle).reverse()) as unknown as Bundle;
    expect(await encodeBundle(turned)).toEqual(good);
  });

  it('is laid out as models/FORMAT.md says', () => {
    const [mark, version, digest, manifest, picture, network, ...rest] = partsOf();
    expect([mark, version, rest]).toEqual(['ddpm-wasm bundle', 1, []]);
    expect(digest).toEqual(digestOf(manifest));
    expect(manifestOf().digests).toEqual({ network: digestOf(network), preview: digestOf(picture) });
    expect(Object.keys(manifestOf())).toEqual([...Object.keys(manifestOf())].sort());
    expect(Buffer.from(good.subarray(0, 21)).toString('hex')).toBe(
      `96b0${Buffer.from('ddpm-wasm bundle').toString('hex')}01c420`,
    );
  });
});

describe('loadModel of a bundle', () => {
  const expected = {
    name: 'small',
    shape: [1, 2, 3],
    classes: 4,
    labels: ['cat', 'dog', 'owl'],
    unconditional: 3,
    sampling: { sampler: 'ddim', steps: 5, eta: 1 },
    schedulerConfig: bundle.scheduler,
    bundle: { version: 1, dtype: 'fp32', card: '# Small\n', preview },
  };

  it('takes a file, by path or file: URL, its bytes, and streams of them', async () => {
    const file = path.join(temporaryFolder(), 'other name.DDPM');
    writeFileSync(file, good);
    const shared = new Uint8Array(new SharedArrayBuffer(good.length));
    shared.set(good);
    async function* pieces() {
      for (let at = 0; at < good.length; at += 100) yield good.subarray(at, at + 100);
    }
    const sources = [
      file,
      pathToFileURL(file),
      good,
      shared,
      pieces(),
      createReadStream(file),
      new Blob([good]).stream(),
    ];
    for (const source of sources) expect(await load(source as ModelSource)).toMatchObject(expected);
  });

  it('takes a URL with one request, and the body of its Response', async () => {
    server = await serve((path) => (path === '/m/small.ddpm' ? { body: good } : undefined));
    expect(await load(`${server.url}/m/small.ddpm?v=1`)).toMatchObject(expected);
    expect(server.requests).toEqual(['GET /m/small.ddpm?v=1']);
    const { body } = await fetch(`${server.url}/m/small.ddpm`);
    expect(await load(body!)).toMatchObject(expected);
  });

  it('holds nothing of the file once there is a session: the preview is a copy', async () => {
    const model = await load(good);
    expect(model.bundle!.preview!.buffer).not.toBe(good.buffer);
  });

  it('samples to the bytes of the folder that it was made from', async () => {
    const network = readFileSync('models/fashion/model.onnx');
    const json = (name: string) => JSON.parse(readFileSync(`models/fashion/${name}.json`, 'utf8'));
    const [scheduler, labels] = [json('scheduler_config'), json('labels')];
    const bytes = await encodeBundle({ name: 'fashion', network, scheduler, labels });
    const [a, b] = await Promise.all([
      loadPipeline(bytes, { device: 'cpu' }),
      loadPipeline('fashion', { device: 'cpu' }),
    ]);
    const options = { count: 2, sampler: 'ddim', steps: 3, seed: 5 } as const;
    expect(await a.sample(options)).toEqual(await b.sample(options));
    await Promise.all([a.dispose(), b.dispose()]);
  });

  it('ends a stream that is too long, stops at the signal, and cancels what it reads', async () => {
    let cancelled = false;
    const endless = () =>
      new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(1000)),
        cancel: () => {
          cancelled = true;
        },
      });
    await expect(load(endless(), { maxBytes: 100_000 })).rejects.toThrow('model: larger than 100000 bytes');
    expect(cancelled).toBe(true);
    const silent = new ReadableStream<Uint8Array>({});
    const signal = AbortSignal.timeout(20);
    await expect(load(silent, { signal })).rejects.toHaveProperty('name', 'TimeoutError');
  });
});

describe('a bundle that cannot be read is refused in one line, before there is a network', () => {
  const refuse = async (bytes: Uint8Array, message: string | RegExp, code = 'model-invalid') => {
    const error = await decodeBundle(bytes, 'file').catch((error: unknown) => error);
    expect(error).toBeInstanceOf(DdpmError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(/^file: [^\n]+$/) });
    expect((error as Error).message).toMatch(message);
  };

  it('cut anywhere', async () => {
    for (let at = 0; at < good.length; at += 7) await refuse(good.slice(0, at), /expected .*, got /);
    await refuse(good.slice(0, -1), `at least ${good.length} bytes, got ${good.length - 1}: it is cut short`);
    await refuse(new Uint8Array(), 'expected a .ddpm bundle, got nothing');
  });

  it('of a later version, whatever else is in it', async () => {
    const message = 'expected version 1 of the format, got 2: a later ddpm-wasm may read it';
    await refuse(encode(['ddpm-wasm bundle', 2, { all: 'new' }]), message);
    await refuse(good.with(18, 2), message);
  });

  it('with more after it, or that is something else', async () => {
    await refuse(Uint8Array.from([...good, 0]), `expected ${good.length} bytes, got ${good.length + 1}`);
    await refuse(bundle.network, 'expected a .ddpm bundle, got something else');
  });

  it('with any one bit changed', async () => {
    for (let at = 0; at < good.length; at++)
      await refuse(good.with(at, good[at] ^ (1 << (at % 8))), /expected .*, got /);
  });

  it('with another network, preview or manifest than the digests say, each by name', async () => {
    await refuse(sealed(manifestOf(), { network: smallGraph() }), 'expected a network that its SHA-256 confirms');
    await refuse(
      sealed(manifestOf(), { picture: preview.with(50, 9) }),
      'expected a preview that its SHA-256 confirms',
    );
    await refuse(sealed(manifestOf(), { picture: new Uint8Array() }), 'a preview with a digest');
    const parts = partsOf();
    await refuse(encode(parts.with(2, new Uint8Array(32))), 'expected a manifest that its SHA-256 confirms');
  });

  const digests = () => manifestOf().digests as object;
  it.each([
    ['a list', () => [1], 'expected "name", got undefined'],
    ['no MessagePack', () => Uint8Array.of(0xc1), 'expected a manifest, got bytes that are none'],
    ['a nest without end', () => new Uint8Array(5000).fill(0x91), 'expected a manifest'],
    ['a list of 2^32 - 1', () => Uint8Array.of(0xdd, 255, 255, 255, 255), 'expected a manifest'],
    ['no digests', () => ({ name: 'a' }), 'expected "digests", got undefined'],
    [
      'a short digest',
      () => ({ name: 'a', digests: { network: new Uint8Array(31) } }),
      '"digests.network" to be 32 bytes',
    ],
    ['a name with an escape', () => ({ ...manifestOf(), name: 'a\u001b[2J' }), '"name" to be a name of at most 100'],
    [
      'binary in its config',
      () => ({ ...manifestOf(), config: { a: new Uint8Array(2) } }),
      '"config" to be what a JSON',
    ],
    ['a list as scheduler', () => ({ ...manifestOf(), scheduler: [1] }), '"scheduler" to be what a JSON'],
    ['a date', () => ({ ...manifestOf(), config: { a: new Date(0) } }), 'expected a manifest'],
    ['an odd dtype', () => ({ ...manifestOf(), dtype: 'fp8' }), '"dtype" to be one of fp32, fp16, int8'],
    ['a map nested deep', () => ({ name: 'a', digests: digests(), config: nested(20) }), '"config" to be what a JSON'],
  ])('with a manifest that holds %s', async (_, manifest, message) => {
    await refuse(sealed(manifest()), message);
  });

  it('with labels or a sampler that are none', async () => {
    await refuse(sealed({ ...manifestOf(), labels: { labels: 3 } }), 'a list of names', 'config-invalid');
    await refuse(sealed({ ...manifestOf(), sampling: { sampler: 'best' } }), 'sampling: ', 'config-invalid');
  });

  it('of a manifest beyond 1 MiB', async () => {
    await refuse(sealed({ ...manifestOf(), card: 'x'.repeat(2 ** 20) }), 'at most 1048576 bytes of manifest');
  });

  it('with any other bytes in its place', async () => {
    const only = async (bytes: Uint8Array) => {
      const error = await decodeBundle(bytes).catch((error: unknown) => error);
      expect(error).toBeInstanceOf(DdpmError);
    };
    const place = fc.nat({ max: good.length - 1 });
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(place, fc.nat({ max: 40 }), bytes, async (at, gone, bytes) => {
        const changed = Uint8Array.from([...good.subarray(0, at), ...bytes, ...good.subarray(at + gone)]);
        if (Buffer.compare(changed, good) !== 0) await only(changed);
      }),
      { seed: 1, numRuns: 2000 },
    );
    const head = good.slice(0, 19);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (rest) => {
        await only(Uint8Array.from([...head, ...rest]));
        await only(sealed(rest));
        await only(rest);
      }),
      { seed: 2, numRuns: 2000 },
    );
  });

  it('that declares 4 GiB takes no more memory than it has bytes', async () => {
    const huge = Uint8Array.from([...good.subarray(0, 19), 0xc6, 255, 255, 255, 255, 1, 2, 3]);
    const before = process.memoryUsage().arrayBuffers;
    await refuse(huge, 'it is cut short');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });
});

describe('encodeBundle refuses by name', () => {
  it.each<[string, object, string]>([
    ['no name', { name: '' }, '"name" expected 1 to 100 printable characters, got ""'],
    ['a network that is no bytes', { network: [1] }, '"network" expected the bytes of an .onnx file'],
    ['an empty network', { network: new Uint8Array() }, '"network" expected the bytes of an .onnx file, got "none"'],
    ['a preview that is no PNG', { preview: Uint8Array.of(1) }, '"preview" expected the bytes of a PNG file'],
    ['a config with a function', { config: { f: () => 1 } }, '"config" expected a JSON object'],
    ['a config that no reader takes', { config: JSON.parse('{"__proto__": 1}') }, '"bundle" expected a manifest'],
    ['labels that are none', { labels: { labels: [1] } }, 'labels'],
    ['a sampler that is none', { sampling: { sampler: 'x' } }, 'sampling'],
    ['a card beyond all cards', { card: 'x'.repeat(2 ** 20) }, '"bundle" expected at most 1048576 bytes'],
  ])('%s', async (_, change, message) => {
    await expect(encodeBundle({ ...bundle, ...change } as Bundle)).rejects.toThrow(message);
  });
});

function nested(depth: number): unknown {
  return depth === 0 ? 1 : { a: nested(depth - 1) };
}
