import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import {
  ITEM_SIZES,
  readSafetensors,
  type StoredTensor,
  type StoredType,
  toFloat32,
  writeSafetensors,
} from '../../src/onnx/safetensors.ts';

const tensor: fc.Arbitrary<StoredTensor> = fc
  .record({
    dtype: fc.constantFrom(...(Object.keys(ITEM_SIZES) as StoredType[])),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
  })
  .chain(({ dtype, shape }) => {
    const length = shape.reduce((a, b) => a * b, 1) * ITEM_SIZES[dtype];
    return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ dtype, shape, data }));
  });
const names = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((name) => name !== '__metadata__');
const files = fc.uniqueArray(fc.tuple(names, tensor), { selector: ([name]) => name, maxLength: 6 });

// a file with any header, and as much data as asked for
function fileOf(header: string, dataLength = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.length + dataLength);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return file;
}

const entry = (shape: unknown, begin: number, end: number, dtype = 'F32') =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

describe('writing', () => {
  test('what is written is read back, name for name and bit for bit', () => {
    fc.assert(
      fc.property(files, (tensors) => {
        const read = readSafetensors(writeSafetensors(new Map(tensors)));
        expect(read.size).toBe(tensors.length);
        for (const [name, expected] of tensors) {
          const { dtype, shape, data } = read.get(name) as StoredTensor;
          expect({ dtype, shape, data: [...data] }).toEqual({ ...expected, data: [...expected.data] });
        }
      }),
    );
  });

  test('the order of the tensors changes no byte, and every tensor lies at a multiple of its item size', () => {
    fc.assert(
      fc.property(files, (tensors) => {
        const file = writeSafetensors(new Map(tensors), { b: '2', a: '1' });
        expect(writeSafetensors(new Map([...tensors].reverse()), { a: '1', b: '2' })).toEqual(file);
        for (const { dtype, data } of readSafetensors(file).values()) {
          expect((data.byteOffset - file.byteOffset) % ITEM_SIZES[dtype]).toBe(0);
        }
      }),
    );
  });

  test('a float32 tensor of the package is written as the format says, byte for byte', () => {
    const file = writeSafetensors({ samples: { data: Float32Array.of(1, -2), shape: [2, 1] } });
    const header = '{"samples":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}';
    const expected = fileOf(header.padEnd(64), 8);
    expected.set([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], 72);
    expect(file).toEqual(expected);
  });

  test('data that does not fit its shape is refused by name', () => {
    expect(() => writeSafetensors({ x: { data: new Float32Array(3), shape: [2] } })).toThrow(
      '"x" expected 8 bytes for [2], got 12',
    );
  });
});

describe('values', () => {
  const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const cases: [StoredType, ArrayBufferView, number[]][] = [
    ['F64', Float64Array.of(0.1, -1e300), [Math.fround(0.1), -Infinity]],
    ['F32', Float32Array.of(0.1, 3), [Math.fround(0.1), 3]],
    ['F16', Uint16Array.of(0x3c00, 0x0001), [1, 2 ** -24]],
    ['BF16', Uint16Array.of(0x3f80, 0xc020), [1, -2.5]],
    ['I64', BigInt64Array.of(-5n, 7n), [-5, 7]],
    ['U64', BigUint64Array.of(5n), [5]],
    ['I32', Int32Array.of(-5), [-5]],
    ['U32', Uint32Array.of(4000000000), [4000000000]],
    ['I16', Int16Array.of(-300), [-300]],
    ['U16', Uint16Array.of(60000), [60000]],
    ['I8', Int8Array.of(-3), [-3]],
    ['U8', Uint8Array.of(200), [200]],
    ['BOOL', Uint8Array.of(0, 1), [0, 1]],
  ];

  test.each(cases)('%s reads as float32, aligned or not', (dtype, array, expected) => {
    const aligned = bytesOf(array);
    const shifted = new Uint8Array(aligned.length + 1);
    shifted.set(aligned, 1);
    for (const data of [aligned, shifted.subarray(1), Buffer.from(shifted.buffer, 1)]) {
      expect([...toFloat32({ dtype, shape: [expected.length], data })]).toEqual(expected);
    }
  });

  test('aligned float32 is a view, and an 8-bit float is refused', () => {
    const values = Float32Array.of(1, 2);
    expect(toFloat32({ dtype: 'F32', shape: [2], data: bytesOf(values) }).buffer).toBe(values.buffer);
    expect(() => toFloat32({ dtype: 'F8_E4M3', shape: [1], data: new Uint8Array(1) })).toThrow('got F8_E4M3');
  });
});

describe('hostile files', () => {
  const hostile: [string, Uint8Array, string][] = [
    ['nothing', new Uint8Array(), 'a.st expected at least 8 bytes, got 0'],
    ['a cut length', new Uint8Array(7), 'at least 8 bytes, got 7'],
    [
      'a header of 2^63 bytes',
      Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80, 0x7b),
      'at most 16777216 bytes, got 9223372036854775808',
    ],
    ['a header past the end', fileOf('{}').subarray(0, 9), 'a header of 2 bytes, got 1 in a cut file'],
    ['a header that is no JSON', fileOf('{"x":'), 'the header expected JSON'],
    ['a header that is no UTF-8', Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0xff), 'the header expected JSON'],
    ['a header that is a list', fileOf('[]'), 'a JSON object as header, got []'],
    ['an entry that is a number', fileOf('{"x":1}'), 'tensor "x" expected { dtype, shape, data_offsets }, got 1'],
    ['an unknown type', fileOf(`{"x":${entry([1], 0, 4, 'F4')}}`, 4), 'a dtype among F64, I64'],
    ['a type from Object.prototype', fileOf(`{"x":${entry([1], 0, 4, 'toString')}}`, 4), 'a dtype among F64, I64'],
    ['a negative size', fileOf(`{"x":${entry([-1], 0, 4)}}`, 4), 'a shape of whole numbers, got [-1]'],
    ['a fractional size', fileOf(`{"x":${entry([0.5], 0, 2)}}`, 2), 'a shape of whole numbers, got [0.5]'],
    ['a shape that is text', fileOf(`{"x":${entry('4', 0, 4)}}`, 4), 'a shape of whole numbers, got "4"'],
    [
      'a shape nested without end',
      fileOf(`{"x":{"dtype":"F32","shape":${'['.repeat(1e5)}${']'.repeat(1e5)}}}`),
      'got an array of 1',
    ],
    ['a product past 2^53', fileOf(`{"x":${entry([2 ** 52, 2 ** 52, 2 ** 52], 0, 4)}}`, 4), 'bytes for F32'],
    ['a product that overflows', fileOf(`{"x":${entry(Array(40).fill(2 ** 52), 0, 4)}}`, 4), 'Infinity bytes for F32'],
    [
      'too many dimensions',
      fileOf(`{"x":${entry(Array(65).fill(1), 0, 4)}}`, 4),
      'a shape of whole numbers, got an array',
    ],
    ['a wrong size', fileOf(`{"x":${entry([2], 0, 4)}}`, 4), '8 bytes for F32 [2], got 4'],
    ['offsets past the end', fileOf(`{"x":${entry([2], 0, 8)}}`, 4), 'data within 4 bytes, got [0, 8]'],
    ['offsets in reverse', fileOf(`{"x":${entry([1], 4, 0)}}`, 4), 'data within 4 bytes, got [4, 0]'],
    ['one offset', fileOf('{"x":{"dtype":"F32","shape":[],"data_offsets":[0]}}', 4), 'two data offsets, got [0]'],
    [
      'an overlap',
      fileOf(`{"x":${entry([1], 0, 4)},"y":${entry([1], 2, 6)}}`, 6),
      'tensor "y" expected data from byte 4, got 2',
    ],
    ['a gap', fileOf(`{"x":${entry([1], 4, 8)}}`, 8), 'tensor "x" expected data from byte 0, got 4'],
    ['data that nothing names', fileOf(`{"x":${entry([1], 0, 4)}}`, 5), 'a.st expected 4 bytes of data, got 5'],
    ['a name twice', fileOf(`{"x":${entry([1], 0, 4)},"\\u0078":${entry([1], 0, 4)}}`, 4), '"x" twice'],
    ['a key twice', fileOf('{"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4), '"dtype" twice'],
    ['a bare pickle', Uint8Array.of(0x80, 2, 0x7d, 0x71, 0, 0, 0, 0, 0, 0), 'got a Python pickle, which is not read'],
    ['a zipped pickle', Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0, 0, 0, 0), 'got a Python pickle, which is not read'],
  ];

  test.each(hostile)('%s is refused in one line', (_, file, message) => {
    const error = catchError(() => readSafetensors(file, 'a.st'));
    expect(error).toBeInstanceOf(DdpmError);
    expect(error).toMatchObject({ code: 'model-invalid', message: expect.stringContaining(message) });
    expect((error as Error).message).toMatch(/^a\.st[^\n]{1,300}$/);
  });

  test('names like __proto__ are names', () => {
    const read = readSafetensors(fileOf(`{"__proto__":${entry([1], 0, 4)},"constructor":${entry([1], 4, 8)}}`, 8));
    expect([...read.keys()]).toEqual(['__proto__', 'constructor']);
  });

  test('a file with any bytes changed or cut is read or refused with a DdpmError, never more than itself', () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(files, fc.array(change, { maxLength: 4 }), fc.option(fc.nat()), (tensors, changes, cut) => {
        let file = writeSafetensors(new Map(tensors), { format: 'pt' });
        for (const [at, byte] of changes) file[at % file.length] = byte;
        if (cut !== null) file = file.subarray(0, cut % file.length);
        const outcome = catchError(() => {
          const read = [...readSafetensors(file).values()];
          expect(read.every(({ data }) => data.buffer === file.buffer)).toBe(true);
          expect(read.reduce((sum, { data }) => sum + data.length, 0)).toBeLessThanOrEqual(file.length);
        });
        if (outcome !== undefined) expect(outcome).toBeInstanceOf(DdpmError);
      }),
      { numRuns: 1000 },
    );
  });

  test('any JSON as a header is read or refused with a DdpmError', () => {
    const offsets = fc.array(fc.oneof(fc.nat({ max: 20 }), fc.double(), fc.maxSafeInteger()), { maxLength: 3 });
    const almost = fc.dictionary(
      fc.string(),
      fc.record(
        { dtype: fc.constantFrom('F32', 'BOOL', 'X', 3), shape: offsets, data_offsets: offsets },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(fc.oneof(almost, fc.jsonValue()), fc.nat({ max: 40 }), (header, length) => {
        const outcome = catchError(() => readSafetensors(fileOf(JSON.stringify(header), length)));
        if (outcome !== undefined) expect(outcome).toBeInstanceOf(DdpmError);
      }),
      { numRuns: 1000 },
    );
  });
});

function catchError(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
