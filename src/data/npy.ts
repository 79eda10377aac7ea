import type { StoredType } from '../onnx/safetensors.ts';
import { invalid } from './source.ts';

/** The array of an .npy file, which begins at byte `begin`. */
export interface NpyHeader {
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  readonly begin: number;
}

/** Bytes that hold the header of any .npy file that is read here. */
export const mostNpyHeader = 2 ** 14;

// NumPy's type codes; a byte has no order
const types: Readonly<Record<string, StoredType>> = {
  '|u1': 'U8',
  '|i1': 'I8',
  '|b1': 'BOOL',
  '<u2': 'U16',
  '<i2': 'I16',
  '<u4': 'U32',
  '<i4': 'I32',
  '<u8': 'U64',
  '<i8': 'I64',
  '<f2': 'F16',
  '<f4': 'F32',
  '<f8': 'F64',
};

/** Whether a file begins as an .npy file does. */
export function isNpy(head: Uint8Array): boolean {
  return [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59].every((byte, i) => head[i] === byte);
}

/**
 * The header of an .npy file of version 1, 2 or 3: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
 * It is a Python literal with the three keys `descr`, `fortran_order` and `shape`, of which nothing else is read.
 */
export function readNpyHeader(head: Uint8Array, name: string): NpyHeader {
  const major = head[6];
  if (!isNpy(head) || !(major >= 1 && major <= 3)) throw invalid(name, 'an .npy file of version 1 to 3', `${major}`);
  const start = major === 1 ? 10 : 12;
  if (head.length < start) throw invalid(name, `a header of ${start} bytes`, head.length);
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const begin = start + length;
  if (begin > mostNpyHeader) throw invalid(name, `a header of at most ${mostNpyHeader} bytes`, begin);
  if (begin > head.length) throw invalid(name, `a header of ${begin} bytes`, `${head.length} in a cut file`);

  const { descr, order, axes } = parseLiteral(new TextDecoder().decode(head.subarray(start, begin)), name);
  const dtype = Object.hasOwn(types, descr) ? types[descr] : undefined;
  if (!dtype) throw invalid(name, `a type among ${Object.keys(types).join(' ')}`, JSON.stringify(descr));
  if (order !== 'False') throw invalid(name, 'an array in C order', 'Fortran order');
  const shape = axes
    .split(',')
    .map((axis) => axis.trim())
    .filter((axis) => axis !== '')
    .map(Number);
  if (!shape.every(Number.isSafeInteger)) throw invalid(name, 'a shape of whole numbers', `(${axes.slice(0, 60)})`);
  return { dtype, shape, begin };
}

const entry =
  /\s*'(descr|fortran_order|shape)'\s*:\s*(?:'([^']{1,16})'|(True|False)|\(([\d, ]{0,400})\))\s*(,|(?=\}))/y;

function parseLiteral(text: string, name: string): { descr: string; order: string; axes: string } {
  const found = new Map<string, RegExpMatchArray>();
  let at = text.indexOf('{') + 1;
  for (;;) {
    entry.lastIndex = at;
    const match = entry.exec(text);
    if (!match) break;
    if (found.has(match[1])) throw invalid(name, 'each key once in the header', `${match[1]} twice`);
    found.set(match[1], match);
    at = entry.lastIndex;
  }
  const descr = found.get('descr')?.[2];
  const order = found.get('fortran_order')?.[3];
  const axes = found.get('shape')?.[4];
  if (!/^\s*\{/.test(text) || !/^\s*\}\s*$/.test(text.slice(at)) || !descr || !order || axes === undefined)
    throw invalid(
      name,
      "a header { 'descr', 'fortran_order', 'shape' } of a plain array",
      JSON.stringify(text.slice(0, 60)),
    );
  return { descr, order, axes };
}
