import path from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { openDataset } from '../../src/data/index.ts';
import { temporaryFolder } from '../support/cli.ts';
import { bytesOf, failure, readAll, write } from './support.ts';

const pixels = 3 * 32 * 32;

/** Records of CIFAR's binary version: the labels of an image, then its planes. */
function cifar(labels: readonly (readonly number[])[], planes = bytesOf([pixels])): Uint8Array {
  return Buffer.concat(labels.map((label) => Buffer.concat([Uint8Array.from(label), planes])));
}

const tenNames = 'airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n';

describe('CIFAR-10', () => {
  const cifarFolder = () =>
    write(temporaryFolder(), {
      'data_batch_10.bin': cifar([[1], [2]]),
      'data_batch_2.bin': cifar([[9]]),
      'test_batch.bin': cifar([[5]]),
      'batches.meta.txt': tenNames,
      'readme.html': '<html>',
    });

  it('folder gives its training batches by number, with the class names', async () => {
    const { dataset, data, labels } = await readAll(cifarFolder());
    expect(dataset).toMatchObject({ shape: [3, 32, 32], count: 3 });
    expect(dataset.labels).toEqual(tenNames.trim().split('\n'));
    expect([...labels]).toEqual([9, 1, 2]);
    for (let i = 0; i < 3; i++) expect(data.subarray(i * pixels, (i + 1) * pixels)).toEqual(bytesOf([pixels]));
  });

  it('file gives its own images, with the class names beside it', async () => {
    const { dataset, labels } = await readAll(path.join(cifarFolder(), 'test_batch.bin'));
    expect([...labels]).toEqual([5]);
    expect(dataset.labels?.[5]).toBe('dog');
  });

  it('names labels of 10 and more by file and index, with and without class names', async () => {
    const bad = write(temporaryFolder(), { 'data_batch_1.bin': cifar([[0]]), 'data_batch_2.bin': cifar([[1], [10]]) });
    const { dataset, labels } = await readAll(bad);
    expect([...labels]).toEqual([0, 1]);
    expect(dataset.problems).toEqual([
      { name: 'data_batch_2.bin: image 1', message: 'expected a label in 0..9, got 10' },
    ]);
    expect((await failure(bad, { strict: true })).message).toBe(
      `${bad}: data_batch_2.bin: image 1: expected a label in 0..9, got 10`,
    );
  });

  it('of another length is refused, as are gzipped ones', async () => {
    const bad = write(temporaryFolder(), {
      'a/data_batch_1.bin': cifar([[0]]).subarray(1),
      'b/x.bin': new Uint8Array(3000),
      'c/data_batch_1.bin': gzipSync(cifar([[0]])),
      'd/x.bin': new Uint8Array(),
      'e/data_batch_1.bin': cifar([[0]]),
      'e/data_batch_2.bin': cifar([[0], [1]]).subarray(0, 6000),
    });
    const expectations: [string, RegExp][] = [
      ['a', /data_batch_1\.bin: expected a multiple of 3073 bytes, the record of CIFAR-10, got 3072$/],
      ['b/x.bin', /x\.bin: expected a multiple of 3073 bytes, .*, got 3000$/],
      ['c', /data_batch_1\.bin: expected a CIFAR-10 file, got a gzipped one, whose length is not known: unpack it$/],
      ['d/x.bin', /x\.bin: expected a multiple of 3073 bytes, the record of CIFAR-10, got 0$/],
      ['e', /data_batch_2\.bin: expected a multiple of 3073 bytes, the record of CIFAR-10, got 6000$/],
    ];
    for (const [name, message] of expectations) {
      const error = await failure(path.join(bad, name));
      expect(error.code).toBe('dataset-invalid');
      expect(error.message).toMatch(message);
    }
  });

  it('leaves out class names of another number, with a note', async () => {
    const odd = write(temporaryFolder(), { 'x.bin': cifar([[3]]), 'batches.meta.txt': 'a\nb\n' });
    const dataset = await openDataset(path.join(odd, 'x.bin'));
    expect(dataset.labels).toBeUndefined();
    expect(dataset.notes).toEqual([`${odd}/batches.meta.txt: left out, for it has 2 names and not 10`]);
  });

  it('any bytes as .bin are images and problems, or a DdpmError', async () => {
    const file = path.join(temporaryFolder(), 'x.bin');
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(0, 1, 3072, 3073, 3074, 6146),
        fc.uint8Array({ maxLength: 20 }),
        async (n, start) => {
          const bytes = new Uint8Array(Math.max(n, start.length));
          bytes.set(start);
          write('/', { [file]: bytes });
          try {
            const { dataset, shape } = await readAll(file);
            expect(shape[0] + dataset.problems.length).toBe(Math.floor(bytes.length / 3073));
          } catch (error) {
            expect(error).toBeInstanceOf(DdpmError);
          }
        },
      ),
    );
  });
});

describe('CIFAR-100', () => {
  it('has a coarse label, which is left out, and a fine one', async () => {
    const names = Array.from({ length: 100 }, (_, i) => `class ${i}`);
    const folder = write(temporaryFolder(), {
      'train.bin': cifar([
        [1, 99],
        [19, 0],
      ]),
      'test.bin': cifar([[3, 7]]),
      'fine_label_names.txt': names.join('\n'),
    });
    for (const [place, expected] of [
      [folder, [99, 0]],
      [path.join(folder, 'test.bin'), [7]],
    ] as const) {
      const { dataset, labels, data } = await readAll(place);
      expect([...labels]).toEqual(expected);
      expect(dataset.labels).toEqual(names);
      expect(data.subarray(0, pixels)).toEqual(bytesOf([pixels]));
    }
  });
});
