import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { temporaryFolder } from '../support/cli.ts';
import { all, failure, png, readAll, write, zip } from './support.ts';

function place(bytes: Uint8Array): string {
  return path.join(write(temporaryFolder(), { 'x.zip': bytes }), 'x.zip');
}

const pets = {
  'dog/10.png': png(2, 2, 10),
  'dog/9.png': png(2, 2, 9),
  'cat/1.png': png(2, 2, 1),
  'readme.txt': Buffer.from('hello'),
};

const recordMark = Uint8Array.of(0x50, 0x4b, 1, 2);

/** The offset of the last record in the directory of an archive. */
function lastRecord(bytes: Uint8Array): number {
  return Buffer.from(bytes).lastIndexOf(recordMark);
}

describe('a zip archive', () => {
  it.each([
    ['compressed', {}],
    ['stored', { level: 0 }],
    ['of zip64', { zip64: true }],
  ])('%s is read by the rules for a folder', async (_, options) => {
    const { dataset, data, shape, labels } = await readAll(place(await zip(pets, options)));
    expect(dataset).toMatchObject({ name: 'x.zip', count: 3, labels: ['cat', 'dog'], problems: [] });
    expect(dataset.notes).toEqual(['left out what is not named as an image: readme.txt']);
    expect([...data].filter((_, i) => i % 4 === 0)).toEqual([1, 9, 10]);
    expect([...labels]).toEqual([0, 1, 1]);
    expect(await all(dataset)).toEqual({ data, shape, labels });
  });

  it('takes off the one folder that holds all, macOS leaving its own beside it', async () => {
    const wrapped = Object.fromEntries(Object.entries(pets).map(([name, bytes]) => [`pets/${name}`, bytes]));
    const mac = { '__MACOSX/pets/._x.png': Buffer.from('x'), '.DS_Store': Buffer.from('x') };
    expect((await readAll(place(await zip({ ...mac, ...wrapped })))).dataset.labels).toEqual(['cat', 'dog']);
    const flat = await readAll(place(await zip({ 'pets/1.png': png(1, 1, 1) })));
    expect(flat.dataset.labels).toBeUndefined();
  });

  it('names entries that are damaged, encrypted, or would unpack to more than an image may have', async () => {
    const bytes = await zip({ 'a/1.png': png(2, 2, 1), 'b/2.png': png(2, 2, 2) });
    const record = lastRecord(bytes);
    const directory = Buffer.from(bytes).indexOf(recordMark);
    const change = (edit: (view: DataView, bytes: Uint8Array) => void) => {
      const changed = bytes.slice();
      edit(new DataView(changed.buffer), changed);
      return place(changed);
    };
    const cases: [string, RegExp][] = [
      [
        change((view) => view.setUint32(record + 24, 2 ** 29, true)),
        /^expected at most 268435456 bytes, got \d+, 536870912 unpacked$/,
      ],
      [change((view) => view.setUint32(record + 16, 1234, true)), /^expected a whole zip entry, got: /],
      [change((view) => view.setUint32(record + 24, 20, true)), /^expected a whole zip entry, got: /],
      [
        change((view) => view.setUint16(record + 8, view.getUint16(record + 8, true) | 1, true)),
        /^expected an entry that is not encrypted$/,
      ],
      [change((_, changed) => changed.fill(255, directory - 50, directory - 30)), /^expected a whole zip entry, got: /],
    ];
    for (const [file, message] of cases) {
      const { dataset, data } = await readAll(file);
      expect([...data]).toEqual([1, 1, 1, 1]);
      expect(dataset.problems).toEqual([{ name: 'b/2.png', message: expect.stringMatching(message) }]);
    }
  });

  it('bomb that says it is small is stopped at what it says', async () => {
    const bytes = await zip({ 'a.png': png(1, 1, 1), 'b.png': new Uint8Array(2 ** 25) });
    const record = lastRecord(bytes);
    expect(bytes.length).toBeLessThan(2 ** 16);
    new DataView(bytes.buffer).setUint32(record + 24, 1000, true);
    const { dataset } = await readAll(place(bytes));
    expect(dataset.problems).toEqual([
      { name: 'b.png', message: expect.stringMatching(/^expected a whole zip entry/) },
    ]);
  });

  it('keeps names on one line, whatever they hold', async () => {
    const { dataset } = await readAll(
      place(await zip({ 'a.png': png(1, 1, 1), 'b\u001b[2J\n.png': Buffer.from('x') })),
    );
    expect(dataset.problems.map(({ name }) => name)).toEqual(['b\ufffd[2J\ufffd.png']);
  });

  it('without images, or of arrays, is refused', async () => {
    expect((await failure(place(await zip({ 'readme.txt': Buffer.from('x') })))).message).toMatch(
      /no usable image: there is none$/,
    );
    expect((await failure(place(await zip({})))).message).toMatch(/no usable image: there is none$/);
    expect((await failure(place(await zip({ 'a.npy': Buffer.from('x') })))).message).toMatch(
      /expected an archive of images, got \.npy files: unpack it, and name one of them$/,
    );
  });

  it('changed or cut anywhere is read, named, or refused with a DdpmError', async () => {
    const whole = await zip({ 'a/1.png': png(2, 2, 1), 'b/2.png': png(2, 2, 2) });
    const file = place(whole);
    const at = fc.nat(whole.length - 1);
    await fc.assert(
      fc.asyncProperty(at, fc.uint8Array({ maxLength: 4 }), fc.option(at), async (at, bytes, end) => {
        const changed = whole.slice();
        changed.set(bytes.subarray(0, whole.length - at), at);
        write('/', { [file]: changed.subarray(0, end ?? whole.length) });
        try {
          const { dataset, shape } = await readAll(file);
          expect(shape[0] + dataset.problems.length).toBe(dataset.count);
        } catch (error) {
          expect(error).toBeInstanceOf(DdpmError);
        }
      }),
      { numRuns: 200 },
    );
  });
});
