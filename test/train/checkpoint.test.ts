import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { listCheckpoints, loadCheckpoint, saveCheckpoint } from '../../src/train/checkpoint.ts';
import { decodeCheckpoint, encodeCheckpoint, type TrainingState } from '../../src/train/checkpointFormat.ts';
import type { CheckpointStore } from '../../src/train/store.ts';
import { temporaryFolder } from '../support/cli.ts';
import { stateAt } from './support.ts';

const state = stateAt(7);
let good: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  good = await encodeCheckpoint(state);
});

/** A store in memory: what a browser's would look like. */
function memoryStore(files = new Map<string, Uint8Array<ArrayBuffer>>()): CheckpointStore {
  return {
    name: 'memory',
    write: async (name, bytes) => void files.set(name, bytes.slice()),
    read: async (name) => files.get(name),
    list: async () => [...files.keys()].reverse(),
    remove: async (name) => void files.delete(name),
  };
}

// a NaN is equal to itself here, and 0 is not to -0
function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** A file with a digest that is right, whatever its content: only who means harm makes such. */
function sealed(content: unknown): Uint8Array<ArrayBuffer> {
  const bytes = content instanceof Uint8Array ? content : encode(content, { useBigInt64: true });
  const digest = createHash('sha256').update(bytes).digest();
  return Uint8Array.from([0x94, ...encode('ddpm-wasm checkpoint'), 1, ...encode(new Uint8Array(digest)), ...bytes]);
}

describe('a checkpoint', () => {
  it('gives back its state, to the bit', async () => {
    expect(await decodeCheckpoint(good)).toEqual(state);
    const without = stateAt(3, { ema: false });
    expect(await decodeCheckpoint(await encodeCheckpoint(without))).toEqual(without);
  });

  it('of parameters that threads share, or that lie within others, is the same', async () => {
    const shared = new Float32Array(new SharedArrayBuffer(80), 16, 12);
    shared.set(state.parameters);
    expect(await encodeCheckpoint({ ...state, parameters: shared })).toEqual(good);
  });

  it('is one MessagePack value that any reader opens', () => {
    const [mark, version, digest, content] = decode(good) as [string, number, Uint8Array, { step: number }];
    expect([mark, version, digest.length, content.step]).toEqual(['ddpm-wasm checkpoint', 1, 32, 7]);
  });

  it('of any state is read and written again to the same bytes', async () => {
    const json = fc
      .jsonValue({ maxDepth: 5 })
      .map((value) => JSON.parse(JSON.stringify(value).replaceAll('__proto__', '')));
    const vector = fc.float32Array({ minLength: 12, maxLength: 12 });
    const vectors = { parameters: vector, firstMoments: vector, secondMoments: vector, ema: fc.option(vector) };
    const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    const seed = fc.oneof(count, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
    const counts = { step: count, epoch: count, position: count, seed };
    const parts = fc.record({ ...vectors, ...counts, random: json, config: json, metrics: json });
    await fc.assert(
      fc.asyncProperty(parts, async (parts) => {
        const bytes = await encodeCheckpoint({ ...parts, layout: state.layout } as TrainingState);
        const read = await decodeCheckpoint(bytes);
        expect(bits(read.parameters)).toEqual(bits(parts.parameters));
        expect(read.ema && bits(read.ema)).toEqual(parts.ema && bits(parts.ema));
        expect(read.seed).toBe(parts.seed);
        expect(await encodeCheckpoint(read)).toEqual(bytes);
      }),
    );
  });

  it('that is cut, or has a byte changed, inserted or left out anywhere, is refused', async () => {
    const refused = async (bytes: Uint8Array<ArrayBuffer>) => {
      const error = await decodeCheckpoint(bytes, 'file').catch((error: unknown) => error);
      expect(error).toBeInstanceOf(DdpmError);
      expect(error).toMatchObject({
        code: 'checkpoint-invalid',
        message: expect.stringMatching(/^file: expected [^\n]+$/),
      });
    };
    for (let at = 0; at < good.length; at++) await refused(good.with(at, good[at] ^ (1 << (at % 8))) as typeof good);
    const place = fc.nat({ max: good.length - 1 });
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async (at, change) => {
        await refused(good.slice(0, at));
        await refused(good.with(at, good[at] ^ change) as typeof good);
        await refused(Uint8Array.from([...good.subarray(0, at), change, ...good.subarray(at)]));
        await refused(Uint8Array.from([...good.subarray(0, at), ...good.subarray(at + 1)]));
      }),
      { numRuns: 200 },
    );
  });

  it('of another version is refused by its number', async () => {
    const later = good.slice();
    later[22] = 2;
    await expect(decodeCheckpoint(later)).rejects.toThrow('checkpoint: expected version 1 of the format, got 2');
  });
});

describe('a hostile checkpoint with a digest that is right', () => {
  const written = decode(
    encode(
      { ...state, layout: state.layout.map(({ name, shape, offset }) => [name, shape, offset]) },
      { useBigInt64: true },
    ),
    {
      useBigInt64: true,
    },
  ) as Record<string, unknown>;

  it('is sealed as a true one is', async () => {
    expect((await decodeCheckpoint(sealed(written))).step).toBe(7);
  });

  it.each([
    ['that is no map', [1], 'expected "layout", got undefined'],
    ['with a key too many', { ...written, more: 1 }, 'expected no "more"'],
    ['without moments', { ...written, firstMoments: undefined }, '"firstMoments" to be binary, got null'],
    [
      'with moments of another length',
      { ...written, firstMoments: new Uint8Array(8) },
      '"firstMoments" expected 12 numbers',
    ],
    [
      'with half a number',
      { ...written, ema: new Uint8Array(49) },
      '"ema" expected float32 numbers of 4 bytes, got 49',
    ],
    ['with a step before the first', { ...written, step: -1 }, '"step" to be an integer of at least 0, got -1'],
    ['with a seed below 0', { ...written, seed: -(2n ** 60n) }, '"seed" expected an integer in 0..2^64-1'],
    [
      'with parameters that overlap',
      {
        ...written,
        layout: [
          ['a', [12], 0],
          ['b', [12], 4],
        ],
      },
      '"layout.1" expected offset 12',
    ],
    [
      'with one name twice',
      {
        ...written,
        layout: [
          ['a', [6], 0],
          ['a', [6], 6],
        ],
      },
      '"layout.1" expected a name of its own',
    ],
    ['with an empty axis', { ...written, layout: [['a', [0, 12], 0]] }, '"layout.0" expected a shape'],
    [
      'with a shape past all memory',
      { ...written, layout: [['a', [2 ** 31, 2 ** 31], 0]] },
      'a shape that can be addressed',
    ],
    [
      'with binary in its metrics',
      { ...written, metrics: [new Uint8Array(3)] },
      '"metrics.0" expected a value that JSON can say',
    ],
  ])('%s is refused by name', async (_, content, message) => {
    await expect(decodeCheckpoint(sealed(content))).rejects.toMatchObject({
      code: 'checkpoint-invalid',
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ['declares a list of 2^32 - 1', [0xdd, 255, 255, 255, 255]],
    ['nests without end', Array(100_000).fill(0x91)],
    ['is no MessagePack', [0xc1]],
  ])('that %s is refused', async (_, bytes) => {
    const refused = {
      code: 'checkpoint-invalid',
      message: expect.stringContaining('expected a training state, got content'),
    };
    await expect(decodeCheckpoint(sealed(Uint8Array.from(bytes)))).rejects.toMatchObject(refused);
  });

  it('of any bytes gives a state or a DdpmError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await expect(decodeCheckpoint(sealed(bytes))).rejects.toBeInstanceOf(DdpmError);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a state that cannot be written', () => {
  const bad: [string, Partial<Record<keyof TrainingState, unknown>>, string][] = [
    ['numbers of another kind', { parameters: new Float64Array(12) }, '"parameters" expected a Float32Array'],
    ['a vector too short', { ema: new Float32Array(11) }, '"ema" expected 12 numbers, as "layout" has, got 11'],
    ['half a step', { step: 1.5 }, '"step" expected an integer of at least 0'],
    [
      'a key that is none',
      { config: JSON.parse('{"a":{"__proto__":1}}') },
      '"config.a" expected another key, got "__proto__"',
    ],
    ['a function', { metrics: { f: () => 1 } }, '"metrics.f" expected a value that JSON can say'],
    ['a gap in a list', { random: [undefined] }, '"random.0" expected a value that JSON can say'],
    [
      'an instance of a class',
      { config: { when: new Date() } },
      '"config.when" expected a value that JSON can say, got a Date',
    ],
  ];
  it.each(bad)('is refused by name: %s', async (_, change, message) => {
    await expect(encodeCheckpoint({ ...state, ...change } as TrainingState)).rejects.toThrow(message);
  });

  it('is refused where it goes round in circles', async () => {
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    await expect(encodeCheckpoint({ ...state, metrics: circle } as unknown as TrainingState)).rejects.toThrow(
      'at most 32 deep',
    );
  });
});

describe('a folder of checkpoints', () => {
  const numbers = async (place: string | CheckpointStore) =>
    (await listCheckpoints(place)).map((name) => Number(name.slice(11, 17)));

  it('keeps the last k and gives the newest; a store in memory does the same', async () => {
    for (const place of [path.join(temporaryFolder(), 'new'), memoryStore()]) {
      for (let step = 1; step <= 5; step++) await saveCheckpoint(place, stateAt(step), { keep: 2 });
      expect(await numbers(place)).toEqual([4, 5]);
      expect(await loadCheckpoint(place)).toMatchObject({
        name: 'checkpoint-000005.msgpack',
        state: { step: 5 },
        notes: [],
      });
      await saveCheckpoint(place, stateAt(6));
      expect(await numbers(place)).toEqual([4, 5, 6]);
    }
  });

  it('has as newest what was written last, though its step be an earlier one', async () => {
    const folder = temporaryFolder();
    await saveCheckpoint(folder, stateAt(100));
    await saveCheckpoint(folder, stateAt(50), { keep: 1 });
    expect((await loadCheckpoint(folder)).state.step).toBe(50);
    expect(await numbers(folder)).toEqual([2]);
  });

  it('touches no other files, and no checkpoints in folders below', async () => {
    const folder = temporaryFolder();
    mkdirSync(path.join(folder, 'old'));
    const others = ['notes.txt', 'checkpoint-1.msgpack', path.join('old', 'checkpoint-000001.msgpack')];
    for (const file of others) writeFileSync(path.join(folder, file), 'x');
    await saveCheckpoint(folder, state, { keep: 1 });
    await saveCheckpoint(folder, state, { keep: 1 });
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(
      ['checkpoint-000002.msgpack', 'old', ...others].sort(),
    );
  });

  it('passes over damaged ones with a note, newest first', async () => {
    const folder = temporaryFolder();
    for (const step of [1, 2, 3]) await saveCheckpoint(folder, stateAt(step));
    writeFileSync(path.join(folder, 'checkpoint-000003.msgpack'), '');
    copyFileSync(path.join(folder, 'checkpoint-000001.msgpack'), path.join(folder, 'checkpoint-000004.msgpack'));
    const bytes = readFileSync(path.join(folder, 'checkpoint-000004.msgpack'));
    bytes[bytes.length - 9] ^= 64;
    writeFileSync(path.join(folder, 'checkpoint-000004.msgpack'), bytes);
    expect(await loadCheckpoint(folder)).toEqual({
      name: 'checkpoint-000002.msgpack',
      state: stateAt(2),
      notes: [
        'checkpoint-000004.msgpack: expected content that its SHA-256 confirms, got damaged content',
        'checkpoint-000003.msgpack: expected a training checkpoint, got a file of 0 bytes',
      ],
    });
  });

  it('with nothing that can be read is checkpoint-invalid, and says what was found', async () => {
    const folder = temporaryFolder();
    const expected = (message: string) => ({
      code: 'checkpoint-invalid',
      message: `${folder}: expected a training checkpoint, ${message}`,
    });
    await expect(loadCheckpoint(folder)).rejects.toMatchObject(expected('found none'));
    writeFileSync(path.join(folder, 'checkpoint-000001.msgpack'), 'x');
    await expect(loadCheckpoint(folder)).rejects.toMatchObject(
      expected(
        'found 1 that cannot be read: checkpoint-000001.msgpack: expected a training checkpoint, got a file of 1 bytes',
      ),
    );
    rmSync(folder, { recursive: true });
    await expect(loadCheckpoint(folder)).rejects.toMatchObject(expected('found none'));
  });

  it('may be one file, by path or URL', async () => {
    const file = path.join(temporaryFolder(), 'kept');
    writeFileSync(file, good);
    expect((await loadCheckpoint(file)).state).toEqual(state);
    expect((await loadCheckpoint(pathToFileURL(file))).state).toEqual(state);
    await expect(loadCheckpoint(`${file}.msgpack`)).rejects.toThrow('nothing at');
  });

  it('writes the state as it was when it was asked to, though training goes on', async () => {
    const changing = stateAt(1);
    const saved = saveCheckpoint(memoryStore(), changing);
    const store = memoryStore();
    const second = saveCheckpoint(store, changing);
    changing.parameters.fill(NaN);
    await Promise.all([saved, second]);
    expect((await loadCheckpoint(store)).state).toEqual(stateAt(1));
  });

  it('refuses options and places that are none', async () => {
    await expect(saveCheckpoint('x', state, { keep: 0 })).rejects.toThrow(
      '"keep" expected an integer of at least 1, got 0',
    );
    await expect(saveCheckpoint('x', state, { kept: 1 } as object)).rejects.toThrow('"kept" expected no such option');
    await expect(saveCheckpoint(7 as unknown as string, state)).rejects.toThrow('"place" expected a folder or a store');
  });
});
