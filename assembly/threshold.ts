// Dynamic thresholding (Saharia et al., "Photorealistic Text-to-Image Diffusion Models", 2022, section 2.3): how far an
// image's estimates reach, as a quantile of their magnitudes.

const DIGITS = 2048; // 11 bits a pass
const counts = memory.data(DIGITS * 4, 16);
const INFINITE_KEY: u32 = 0x7f800000;

/**
 * The quantile of the magnitudes of `count` values, by linear interpolation between sorted neighbours, rank and all in
 * float32 as torch.quantile computes it. NaN if any value is. The values are overwritten.
 */
export function quantile(values: usize, count: i32, ratio: f32): f32 {
  const rank = min<f32>(ratio * <f32>(count - 1), <f32>(count - 1));
  const below = floor<f32>(rank);
  const weight = rank - below;
  if (!select(values, count, <i32>below)) return NaN;
  const a = reinterpret<f32>(found);
  const b = reinterpret<f32>(following);
  if (weight == 0) return a;
  return weight < 0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight);
}

/** values = clamp(values, -reach, reach) / reach, in place; all NaN if `reach` is. */
export function limit(values: usize, reach: f32, bytes: usize): void {
  for (const end = values + bytes; values < end; values += 4) {
    const value = load<f32>(values);
    store<f32>(values, (value > reach ? reach : value < -reach ? -reach : value) / reach);
  }
}

let found: u32 = 0; // the bits of the value at the rank, and of the one after it
let following: u32 = 0;

// radix selection: the bits of floats that are not negative sort as integers; three passes over 12, 11 and 9 bits narrow
// the candidates, always in linear time. False where there is a NaN, which sorts above infinity.
function select(keys: usize, count: i32, rank: i32): bool {
  let above: u32 = u32.MAX_VALUE; // the least key known to follow the candidates
  let top: u32 = 0;
  for (let shift = 20; shift >= 0; shift -= shift == 20 ? 11 : 9) {
    const end = keys + (<usize>count << 2);
    memory.fill(counts, 0, DIGITS * 4);
    for (let p = keys; p < end; p += 4) {
      const key = load<u32>(p) & 0x7fffffff;
      top = max(top, key);
      const digit = counts + (((key >> shift) & (DIGITS - 1)) << 2);
      store<u32>(digit, load<u32>(digit) + 1);
    }
    if (top > INFINITE_KEY) return false;

    // the digit in which the rank falls, and the rank among those that share it
    let digit: u32 = 0;
    for (; ; digit++) {
      const sharing = load<i32>(counts + (digit << 2));
      if (rank < sharing) break;
      rank -= sharing;
    }

    let kept = keys;
    for (let p = keys; p < end; p += 4) {
      const key = load<u32>(p) & 0x7fffffff;
      const own = (key >> shift) & (DIGITS - 1);
      if (own == digit) {
        store<u32>(kept, key);
        kept += 4;
      } else if (own > digit) above = min(above, key);
    }
    count = <i32>((kept - keys) >> 2);
  }
  found = load<u32>(keys);
  following = rank + 1 < count || above == u32.MAX_VALUE ? found : above;
  return true;
}
