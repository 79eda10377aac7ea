// Counter-based normal deviates: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011)
// and Box and Muller.
//
// A deviate depends on (seed, draw, image, element) alone: the key is the seed, the counter (block, draw, image low, image
// high). Sixteen elements make a group, from four blocks side by side in the lanes of a vector: element 16g + 4o + lane
// comes from output o of block 4g + lane, outputs 0 and 1 being one pair of Box and Muller, 2 and 3 the other.

import { RUN } from './memory';
import { boxMuller } from './normal';

const M0: u32 = 0xd2511f53;
const M1: u32 = 0xcd9e8d57;
const WEYL0: u32 = 0x9e3779b9;
const WEYL1: u32 = 0xbb67ae85;
const ROUNDS = 10;
const TWO_GROUPS: usize = 128; // bytes; groups are made two at a time

const keys = memory.data(ROUNDS * 32, 16); // a round's two key words, each in all four lanes
const shared = memory.data(64, 16);
const tail = memory.data(128, 16);

/**
 * Standard normal deviates for `images` images of `pixels` elements, float32, one after another; image i of the call is
 * image first + i of the run. Draw 0 is the starting noise, r + 1 that of row r.
 */
export function normals(out: usize, images: i32, pixels: i32, seed: u64, draw: u32, first: u64): void {
  setSeed(seed);
  for (let i = 0; i < images; i++) {
    // words and deviates take turns run by run, so that the words are still in the first-level cache
    for (let done = 0; done < pixels; done += RUN) {
      fill(out + (<usize>done << 2), min(RUN, pixels - done), draw, first + i, done >> 4);
    }
    out += <usize>pixels << 2;
  }
}

/**
 * Deviates even in [-1/2, 1/2] for one image, of the words that `normals` makes its own of. `out` has room for whole
 * 128 bytes.
 */
export function uniforms(out: usize, count: i32, seed: u64, draw: u32, image: u64): void {
  setSeed(seed);
  const bytes = ((<usize>count << 2) + TWO_GROUPS - 1) & ~(TWO_GROUPS - 1);
  words(out, bytes, draw, image, 0);
  const unit = f32x4.splat(2.3283064365386963e-10); // 2^-32
  for (const end = out + bytes; out < end; out += 16) {
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(v128.load(out)), unit));
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

/** `count` deviates of one image, the first of them the first of `group`. */
export function fill(out: usize, count: i32, draw: u32, image: u64, group: u32): void {
  const bytes = <usize>count << 2;
  const whole = bytes & ~(TWO_GROUPS - 1);
  deviates(out, whole, draw, image, group);
  if (whole == bytes) return;
  deviates(tail, TWO_GROUPS, draw, image, group + (<u32>whole >> 6));
  memory.copy(out + whole, tail, bytes - whole);
}

@inline
function deviates(out: usize, bytes: usize, draw: u32, image: u64, group: u32): void {
  words(out, bytes, draw, image, group);
  boxMuller(out, bytes);
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

// The words of pairs of groups, four blocks to a vector; a and b are two groups in step, which hides the latency of the
// multiplications. The blocks of an image share most of their counter, so in the first two rounds two products of the four
// are the image's, and a third, the block times M0, is a running sum.
function words(out: usize, bytes: usize, draw: u32, image: u64, group: u32): void {
  const m0 = v128.load32_splat(memory.data<u32>([M0]));
  const m1 = v128.load32_splat(memory.data<u32>([M1]));
  const first = <u64>M1 * <u32>image;
  const second = <u64>M0 * (<u32>(first >> 32) ^ draw ^ load<u32>(keys));
  v128.store(shared, i32x4.splat(<u32>(image >> 32) ^ load<u32>(keys, 16)));
  v128.store(shared, i32x4.splat(<u32>first ^ load<u32>(keys, 32)), 16);
  v128.store(shared, i32x4.splat(<u32>(second >> 32) ^ load<u32>(keys, 48)), 32);
  v128.store(shared, i32x4.splat(<u32>second), 48);

  const block = i32x4.add(i32x4.splat(group << 2), i32x4(0, 1, 2, 3));
  const stride = i64x2.splat(4 * <u64>M0);
  let low = i64x2.extmul_low_i32x4_u(block, m0);
  let high = i64x2.extmul_high_i32x4_u(block, m0);

  for (const end = out + bytes; out < end; out += TWO_GROUPS) {
    let a2 = v128.xor(odd(low, high), v128.load(shared));
    let a3 = even(low, high);
    low = i64x2.add(low, stride);
    high = i64x2.add(high, stride);
    let b2 = v128.xor(odd(low, high), v128.load(shared));
    let b3 = even(low, high);
    low = i64x2.add(low, stride);
    high = i64x2.add(high, stride);

    let a0 = v128.xor(highs(a2, m1), v128.load(shared, 16));
    let b0 = v128.xor(highs(b2, m1), v128.load(shared, 16));
    let a1 = lows(a2, m1);
    let b1 = lows(b2, m1);
    a2 = v128.xor(a3, v128.load(shared, 32));
    b2 = v128.xor(b3, v128.load(shared, 32));
    a3 = v128.load(shared, 48);
    b3 = v128.load(shared, 48);

    for (let key = keys + 2 * 32; key < keys + ROUNDS * 32; key += 32) {
      const a = v128.xor(v128.xor(highs(a2, m1), a1), v128.load(key));
      const b = v128.xor(v128.xor(highs(b2, m1), b1), v128.load(key));
      a1 = lows(a2, m1);
      b1 = lows(b2, m1);
      a2 = v128.xor(v128.xor(highs(a0, m0), a3), v128.load(key, 16));
      b2 = v128.xor(v128.xor(highs(b0, m0), b3), v128.load(key, 16));
      a3 = lows(a0, m0);
      b3 = lows(b0, m0);
      a0 = a;
      b0 = b;
    }
    v128.store(out, a0);
    v128.store(out, a1, 16);
    v128.store(out, a2, 32);
    v128.store(out, a3, 48);
    v128.store(out, b0, 64);
    v128.store(out, b1, 80);
    v128.store(out, b2, 96);
    v128.store(out, b3, 112);
  }
}

// the high words and the low words of the four products x * m
@inline
function highs(x: v128, m: v128): v128 {
  return odd(i64x2.extmul_low_i32x4_u(x, m), i64x2.extmul_high_i32x4_u(x, m));
}

@inline
function lows(x: v128, m: v128): v128 {
  return even(i64x2.extmul_low_i32x4_u(x, m), i64x2.extmul_high_i32x4_u(x, m));
}

@inline
function odd(low: v128, high: v128): v128 {
  return i32x4.shuffle(low, high, 1, 3, 5, 7);
}

@inline
function even(low: v128, high: v128): v128 {
  return i32x4.shuffle(low, high, 0, 2, 4, 6);
}
