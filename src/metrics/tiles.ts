import { dimsOf, floatsOf, type Rows } from './rows.ts';

/** The squared distances of some rows of a to some rows of b. */
export interface Tile {
  readonly aBegin: number;
  readonly aEnd: number;
  readonly bBegin: number;
  readonly bEnd: number;
  /** [aEnd - aBegin, bEnd - bBegin]; overwritten by the next tile. */
  readonly values: Float64Array;
}

// 64 rows of 784 floats are 200 kB: two such blocks stay in the cache of a core
const side = 64;

/**
 * Every dot product of a row of a and a row of b, a tile at a time, so that memory does not grow with the sets. Without b
 * those of a with itself, where tiles below the diagonal are left out.
 *
 * Sums are float64 in the order of the columns: the same pair of rows gives the same bits in any tile.
 */
export function* dotTiles(a: Rows, b?: Rows): Generator<Tile, void, void> {
  const dims = dimsOf(a);
  const other = b ?? a;
  const [aCount, bCount] = [a.shape[0], other.shape[0]];
  const values = new Float64Array(Math.min(side, aCount) * Math.min(side, bCount));
  for (let aBegin = 0; aBegin < aCount; aBegin += side) {
    const aEnd = Math.min(aBegin + side, aCount);
    const left = floatsOf(a, aBegin, aEnd);
    for (let bBegin = b ? 0 : aBegin; bBegin < bCount; bBegin += side) {
      const bEnd = Math.min(bBegin + side, bCount);
      fillDots(left, floatsOf(other, bBegin, bEnd), dims, values);
      yield { aBegin, aEnd, bBegin, bEnd, values };
    }
  }
}

/** The same with squared distances: |x|^2 + |y|^2 - 2 x y, exactly 0 for equal rows. */
export function* distanceTiles(a: Rows, b?: Rows): Generator<Tile, void, void> {
  const aNorms = squaredNorms(a);
  const bNorms = b ? squaredNorms(b) : aNorms;
  for (const tile of dotTiles(a, b)) {
    toDistances(tile, aNorms, bNorms);
    yield tile;
  }
}

/** The squared length of each row, added up as in `dotTiles`. */
export function squaredNorms(rows: Rows): Float64Array {
  const [dims, { data, shape }] = [dimsOf(rows), rows];
  const norms = new Float64Array(shape[0]);
  for (let row = 0; row < norms.length; row++) {
    let sum = 0;
    for (let at = row * dims; at < (row + 1) * dims; at++) sum += data[at] * data[at];
    norms[row] = sum;
  }
  return norms;
}

function toDistances({ aBegin, aEnd, bBegin, bEnd, values }: Tile, aNorms: Float64Array, bNorms: Float64Array): void {
  for (let at = 0, i = aBegin; i < aEnd; i++)
    for (let j = bBegin; j < bEnd; j++, at++) values[at] = Math.max(0, aNorms[i] + bNorms[j] - 2 * values[at]);
}

/** out[i, j] = a_i b_j, four rows by four at a time: 16 sums for 8 loads. */
function fillDots(a: Float32Array, b: Float32Array, dims: number, out: Float64Array): void {
  const [n, m] = [a.length / dims, b.length / dims];
  const [nFull, mFull] = [n - (n % 4), m - (m % 4)];
  for (let i = 0; i < nFull; i += 4) for (let j = 0; j < mFull; j += 4) fillFour(a, b, dims, out, i, j, m);
  for (let i = 0; i < n; i++)
    for (let j = i < nFull ? mFull : 0; j < m; j++) {
      let sum = 0;
      for (let k = 0; k < dims; k++) sum += a[i * dims + k] * b[j * dims + k];
      out[i * m + j] = sum;
    }
}

function fillFour(
  a: Float32Array,
  b: Float32Array,
  dims: number,
  out: Float64Array,
  i: number,
  j: number,
  m: number,
): void {
  const [a0, b0] = [i * dims, j * dims];
  const [a1, a2, a3] = [a0 + dims, a0 + 2 * dims, a0 + 3 * dims];
  const [b1, b2, b3] = [b0 + dims, b0 + 2 * dims, b0 + 3 * dims];
  let [s00, s01, s02, s03, s10, s11, s12, s13] = [0, 0, 0, 0, 0, 0, 0, 0];
  let [s20, s21, s22, s23, s30, s31, s32, s33] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let k = 0; k < dims; k++) {
    const p = b[b0 + k];
    const q = b[b1 + k];
    const r = b[b2 + k];
    const s = b[b3 + k];
    const x = a[a0 + k];
    const y = a[a1 + k];
    const z = a[a2 + k];
    const w = a[a3 + k];
    s00 += x * p;
    s01 += x * q;
    s02 += x * r;
    s03 += x * s;
    s10 += y * p;
    s11 += y * q;
    s12 += y * r;
    s13 += y * s;
    s20 += z * p;
    s21 += z * q;
    s22 += z * r;
    s23 += z * s;
    s30 += w * p;
    s31 += w * q;
    s32 += w * r;
    s33 += w * s;
  }
  const [o0, o1, o2, o3] = [i * m + j, (i + 1) * m + j, (i + 2) * m + j, (i + 3) * m + j];
  out[o0] = s00;
  out[o0 + 1] = s01;
  out[o0 + 2] = s02;
  out[o0 + 3] = s03;
  out[o1] = s10;
  out[o1 + 1] = s11;
  out[o1 + 2] = s12;
  out[o1 + 3] = s13;
  out[o2] = s20;
  out[o2 + 1] = s21;
  out[o2 + 2] = s22;
  out[o2 + 3] = s23;
  out[o3] = s30;
  out[o3 + 1] = s31;
  out[o3 + 2] = s32;
  out[o3 + 3] = s33;
}
