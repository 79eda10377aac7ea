// Counter-based normal deviates: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011)
// and the transform of Box and Muller.
//
// A deviate depends on (seed, draw, image, element) alone: the key is the seed, the counter (block, draw, image low, image
// high). Sixteen elements make a group, from four blocks side by side in the lanes of a vector: element 16g + 4o + lane
// comes from output o of block 4g + lane, outputs 0 and 1 being one pair of Box and Muller, 2 and 3 the other.

import { minusTwoLog31, sinEighth } from './math';

const M0: u32 = 0xd2511f53;
const M1: u32 = 0xcd9e8d57;
const WEYL0: u32 = 0x9e3779b9;
const WEYL1: u32 = 0xbb67ae85;
const ROUNDS = 10;
const GROUP = 16;

const keys = memory.data(ROUNDS * 32, 16); // a round's two key words, each in all four lanes
const tail = memory.data(GROUP * 4, 16);

/**
 * Standard normal deviates for `images` images of `pixels` elements, float32, one after another; image i of the call is
 * image first + i of the run. Draw 0 is the starting noise, r + 1 that of row r.
 */
export function normals(out: usize, images: i32, pixels: i32, seed: u64, draw: u32, first: u64): void {
  setSeed(seed);
  for (let i = 0; i < images; i++) {
    fill(out, pixels, draw, first + i, 0);
    out += <usize>pixels << 2;
  }
}

/** The round keys of a seed, for `fill`. */
export function setSeed(seed: u64): void {
  let k0 = <u32>seed;
  let k1 = <u32>(seed >> 32);
  for (let round = 0; round < ROUNDS; round++) {
    v128.store(keys + (round << 5), i32x4.splat(k0));
    v128.store(keys + (round << 5), i32x4.splat(k1), 16);
    k0 += WEYL0;
    k1 += WEYL1;
  }
}

/** `count` deviates of one image, from the first element of a group on. */
export function fill(out: usize, count: i32, draw: u32, image: u64, group: u32): void {
  const whole = count & ~(GROUP - 1);
  fillGroups(out, whole >> 4, draw, image, group);
  if (whole == count) return;
  fillGroups(tail, 1, draw, image, group + (whole >> 4));
  memory.copy(out + (<usize>whole << 2), tail, <usize>(count - whole) << 2);
}

/** The four words of a counter block under a key: Philox4x32-10 as published. */
export function philox(out: usize, key: u64, c0: u32, c1: u32, c2: u32, c3: u32): void {
  let k0 = <u32>key;
  let k1 = <u32>(key >> 32);
  for (let round = 0; round < ROUNDS; round++) {
    const p0 = <u64>M0 * c0;
    const p1 = <u64>M1 * c2;
    c0 = <u32>(p1 >> 32) ^ c1 ^ k0;
    c1 = <u32>p1;
    c2 = <u32>(p0 >> 32) ^ c3 ^ k1;
    c3 = <u32>p0;
    k0 += WEYL0;
    k1 += WEYL1;
  }
  store<u32>(out, c0, 0);
  store<u32>(out, c1, 4);
  store<u32>(out, c2, 8);
  store<u32>(out, c3, 12);
}

function fillGroups(out: usize, groups: i32, draw: u32, image: u64, group: u32): void {
  const m0 = i32x4.splat(M0);
  const m1 = i32x4.splat(M1);
  let blocks = i32x4.add(i32x4.splat(group << 2), i32x4(0, 1, 2, 3));
  for (const end = out + (<usize>groups << 6); out < end; out += 64) {
    let c0 = blocks;
    let c1 = i32x4.splat(draw);
    let c2 = i32x4.splat(<u32>image);
    let c3 = i32x4.splat(<u32>(image >> 32));
    for (let key = keys; key < keys + 32 * ROUNDS; key += 32) {
      const a = v128.xor(v128.xor(high(c2, m1), c1), v128.load(key));
      const b = v128.xor(v128.xor(high(c0, m0), c3), v128.load(key, 16));
      c1 = low(c2, m1);
      c3 = low(c0, m0);
      c0 = a;
      c2 = b;
    }
    pair(out, c0, c1);
    pair(out + 32, c2, c3);
    blocks = i32x4.add(blocks, i32x4.splat(4));
  }
}

// the high and the low words of the four products
// @ts-ignore: decorator
@inline
function high(a: v128, m: v128): v128 {
  return i32x4.shuffle(i64x2.extmul_low_i32x4_u(a, m), i64x2.extmul_high_i32x4_u(a, m), 1, 3, 5, 7);
}

// @ts-ignore: decorator
@inline
function low(a: v128, m: v128): v128 {
  return i32x4.shuffle(i64x2.extmul_low_i32x4_u(a, m), i64x2.extmul_high_i32x4_u(a, m), 0, 2, 4, 6);
}

/**
 * Box and Muller on two words. Radius: -2 ln u with u = (floor(a/2) + 1/2) / 2^31 in float32, so that 2^-32 <= u <= 1 and
 * no deviate passes 6.67. Angle: the low 31 bits of b, as a signed fraction, turn within 45 degrees of an axis; the top bit
 * of b says which axis, the low bit of a which of its two ends.
 */
// @ts-ignore: decorator
@inline
function pair(out: usize, a: v128, b: v128): void {
  const square = minusTwoLog31(f32x4.add(f32x4.convert_i32x4_s(i32x4.shr_u(a, 1)), f32x4.splat(0.5)));
  const turn = f32x4.mul(f32x4.convert_i32x4_s(i32x4.shl(b, 1)), f32x4.splat(4.656612873077393e-10)); // 2^-31
  const across = f32x4.mul(f32x4.sqrt(square), sinEighth(turn));
  const along = v128.or(f32x4.sqrt(f32x4.sub(square, f32x4.mul(across, across))), i32x4.shl(a, 31));
  const swap = v128.and(v128.xor(across, along), i32x4.shr_s(b, 31));
  v128.store(out, v128.xor(along, swap));
  v128.store(out, v128.xor(across, swap), 16);
}
