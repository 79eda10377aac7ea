// The transform of Box and Muller (1958): random words to standard normal deviates, float32x4, in strict SIMD. Without
// fused multiply-add and relaxed instructions every bit is the same on every machine.
//
// Two words a, b make two deviates, r cos(phi) and r sin(phi):
//   r   = sqrt(-2 ln u), u = (low 31 bits of a + 1/2) / 2^31 rounded to float32: 2^-32 <= u <= 1, so r <= 6.67
//   phi = pi/2 * y,      y = b / 2^31, b signed: the right half of the circle; the top bit of a turns it to the left half
//
// ln u: u = 2^e m with m in [sqrt(1/2), sqrt(2)), and ln m = 2 atanh(s), s = (m-1)/(m+1), |s| < 0.1716, so that a u near 1
// loses nothing to cancellation. phi: h = sqrt(2) sin(phi/2) gives cos(phi) = 1 - h^2 and sin(phi) = h sqrt(2 - h^2).
//
// The polynomials are minimax fits of the relative error (Remez exchange in 160 bits), rounded to float32 one coefficient
// at a time, lowest first, the others fitted again after each. Together with all roundings a deviate is within 3.5e-7 of
// the radius of its pair; test/engine/kernelsNoise.test.ts holds the bound.

// -4 atanh(s) / s in powers of s^2 on [0, 0.02944]: relative error below 1.2e-7, which the square root halves
const LOG0: f32 = -4.000000476837158;
const LOG1: f32 = -1.3330435752868652;
const LOG2: f32 = -0.8259685635566711;

// sqrt(2) sin(pi/4 y) / y in powers of y^2 on [0, 1]: relative error below 1.8e-8
const SIN0: f32 = 1.1107207536697388;
const SIN1: f32 = -0.11419163644313812;
const SIN2: f32 = 3.5222675651311874e-3;
const SIN3: f32 = -5.140200300957076e-5;

const MINUS_TWO_LN2: f32 = -1.6525916635146132e-7; // times 2^-23, as the exponent is left in its place
const SQRT_HALF: u32 = 0x3f3504f3; // the bits of float32 sqrt(1/2)

/** Turns 32-byte pairs of vectors, four words a and four words b, into deviates in place. */
export function boxMuller(words: usize, bytes: usize): void {
  // constants come from memory: a literal vector in a loop costs V8 three instructions each time round
  const half = v128.load32_splat(memory.data<f32>([0.5]));
  const one = v128.load32_splat(memory.data<f32>([1]));
  const two = v128.load32_splat(memory.data<f32>([2]));
  const unit = v128.load32_splat(memory.data<f32>([4.656612873077393e-10])); // 2^-31
  const low31 = v128.load32_splat(memory.data<u32>([0x7fffffff]));
  const mantissa = v128.load32_splat(memory.data<u32>([0x007fffff]));
  const rootHalf = v128.load32_splat(memory.data<u32>([SQRT_HALF]));
  const rootHalf31 = v128.load32_splat(memory.data<u32>([SQRT_HALF + (31 << 23)])); // sqrt(1/2) * 2^31
  const minusTwoLn2 = v128.load32_splat(memory.data<f32>([MINUS_TWO_LN2]));
  const log0 = v128.load32_splat(memory.data<f32>([LOG0]));
  const log1 = v128.load32_splat(memory.data<f32>([LOG1]));
  const log2 = v128.load32_splat(memory.data<f32>([LOG2]));
  const sin0 = v128.load32_splat(memory.data<f32>([SIN0]));
  const sin1 = v128.load32_splat(memory.data<f32>([SIN1]));
  const sin2 = v128.load32_splat(memory.data<f32>([SIN2]));
  const sin3 = v128.load32_splat(memory.data<f32>([SIN3]));

  for (const end = words + bytes; words < end; words += 32) {
    const a = v128.load(words);
    const b = v128.load(words, 16);

    const y = f32x4.mul(f32x4.convert_i32x4_s(b), unit);
    const yy = f32x4.mul(y, y);
    let p = f32x4.add(f32x4.mul(sin3, yy), sin2);
    p = f32x4.add(f32x4.mul(p, yy), sin1);
    const h = f32x4.mul(f32x4.add(f32x4.mul(p, yy), sin0), y);
    const hh = f32x4.mul(h, h);

    // u * 2^31, its exponent (times 2^23) and its m
    const u = f32x4.add(f32x4.convert_i32x4_s(v128.and(a, low31)), half);
    const bits = i32x4.sub(u, rootHalf31);
    const e = f32x4.convert_i32x4_s(v128.andnot(bits, mantissa));
    const m = i32x4.add(v128.and(bits, mantissa), rootHalf);
    const s = f32x4.div(f32x4.sub(m, one), f32x4.add(m, one));
    const ss = f32x4.mul(s, s);
    let q = f32x4.add(f32x4.mul(log2, ss), log1);
    q = f32x4.add(f32x4.mul(q, ss), log0);
    const squared = f32x4.add(f32x4.mul(e, minusTwoLn2), f32x4.mul(s, q));

    const r = v128.or(f32x4.sqrt(squared), v128.andnot(a, low31));
    v128.store(words, f32x4.mul(r, f32x4.sub(one, hh)));
    v128.store(words, f32x4.mul(f32x4.mul(r, h), f32x4.sqrt(f32x4.sub(two, hh))), 16);
  }
}
