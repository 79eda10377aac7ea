// The stream of torch.Generator().manual_seed(seed) on the CPU: MT19937 (Matsumoto and Nishimura, 1998) and torch.randn's
// two ways from its words to float32 normal deviates.

import { cosine, ln, sine, turn } from './math64';

const WORDS: u32 = 624;
const SHIFT: u32 = 397;

// the state: 624 words, the index of the next word, whether a second value waits, that value as a float64
const INDEX = 4 * WORDS;
const WAITING = INDEX + 4;
const SECOND = INDEX + 8;
const STATE_BYTES: i32 = INDEX + 16;

/** Bytes of a generator's state, on an 8-byte boundary. */
export function torchStateBytes(): i32 {
  return STATE_BYTES;
}

/** torch.manual_seed: the low 32 bits of the seed decide, as in torch. */
export function torchSeed(state: usize, seed: u32): void {
  store<u32>(state, seed);
  for (let i: u32 = 1; i < WORDS; i++) {
    seed = 1812433253 * (seed ^ (seed >> 30)) + i;
    store<u32>(state + (i << 2), seed);
  }
  store<u32>(state, WORDS, INDEX);
  store<u32>(state, 0, WAITING);
}

/** The next 32-bit words of the generator as they are. */
export function torchWords(state: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 4) store<u32>(out, word(state));
}

/** torch.randn(count): the next deviates of the generator. */
export function torchNormals(state: usize, out: usize, count: i32): void {
  if (count < 16) return few(state, out, count);
  uniforms(state, out, count);
  const whole = count & ~15;
  for (let i = 0; i < whole; i += 16) boxMuller16(out + (<usize>i << 2));
  if (whole == count) return;

  // a rest is filled by drawing the last sixteen values again
  const last = out + (<usize>(count - 16) << 2);
  uniforms(state, last, 16);
  boxMuller16(last);
}

function uniforms(state: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 4) {
    store<f32>(out, <f32>(word(state) & 0xffffff) * (1.0 / 16777216));
  }
}

// sixteen uniforms to sixteen deviates: 8 radii, then 8 angles, whose product with 2 pi torch rounds to float32
function boxMuller16(p: usize): void {
  for (const end = p + 32; p < end; p += 4) {
    const radius = sqrt(-2 * ln(<f64>(<f32>1 - load<f32>(p))));
    turn(<f64>(load<f32>(p, 32) * TWO_PI));
    store<f32>(p, <f32>(radius * cosine));
    store<f32>(p, <f32>(radius * sine), 32);
  }
}

const TWO_PI: f32 = 6.2831854820251465;

// fewer than sixteen: pairs in float64, of which the second waits for the next call
function few(state: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 4) {
    if (load<u32>(state, WAITING)) {
      store<u32>(state, 0, WAITING);
      store<f32>(out, <f32>load<f64>(state, SECOND));
      continue;
    }
    turn(2 * 3.141592653589793 * uniform53(state));
    const radius = sqrt(-2 * ln(1 - uniform53(state)));
    store<f32>(out, <f32>(radius * cosine));
    store<f64>(state, radius * sine, SECOND);
    store<u32>(state, 1, WAITING);
  }
}

function uniform53(state: usize): f64 {
  const high = <u64>word(state);
  return <f64>(((high << 32) | word(state)) & 0x1fffffffffffff) * (1.0 / 9007199254740992);
}

function word(state: usize): u32 {
  let index = load<u32>(state, INDEX);
  if (index >= WORDS) {
    refill(state);
    index = 0;
  }
  store<u32>(state, index + 1, INDEX);
  let y = load<u32>(state + (index << 2));
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680;
  y ^= (y << 15) & 0xefc60000;
  return y ^ (y >> 18);
}

// the next 624 words; in three runs, so that no index needs a remainder
function refill(state: usize): void {
  for (let i: u32 = 0; i < WORDS - SHIFT; i++) twist(state, i, i + 1, i + SHIFT);
  for (let i: u32 = WORDS - SHIFT; i < WORDS - 1; i++) twist(state, i, i + 1, i + SHIFT - WORDS);
  twist(state, WORDS - 1, 0, SHIFT - 1);
}

@inline
function twist(state: usize, i: u32, next: u32, far: u32): void {
  const y = (load<u32>(state + (i << 2)) & 0x80000000) | (load<u32>(state + (next << 2)) & 0x7fffffff);
  store<u32>(state + (i << 2), load<u32>(state + (far << 2)) ^ (y >> 1) ^ (-(y & 1) & 0x9908b0df));
}
