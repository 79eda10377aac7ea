/**
 * The bits of the float16 nearest to a number, ties to even; beyond 65520 infinity, any NaN becomes 0x7e00.
 *
 * Right for every float64, not only for float32 values: the detour over float32 rounds to odd, so that the second
 * rounding decides on the exact value.
 */
export function floatToHalf(value: number): number {
  scratch.float[0] = value;
  const nearest = scratch.float[0];
  let bits = scratch.bits[0];
  if (nearest !== value && !Number.isNaN(value)) {
    if (Math.abs(nearest) > Math.abs(value)) bits -= 1;
    bits |= 1;
  }
  return narrow(bits);
}

/** The number that the bits of a float16 stand for. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Float16 bits of float32 numbers, each rounded to nearest even. */
export function encodeHalf(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halfs = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) halfs[i] = narrow(bits[i]);
  return halfs;
}

/** The float32 numbers that float16 bits stand for: exact, every float16 is a float32. */
export function decodeHalf(halfs: Uint16Array): Float32Array {
  const values = new Float32Array(halfs.length);
  for (let i = 0; i < halfs.length; i++) values[i] = halfToFloat(halfs[i]);
  return values;
}

const buffer = new ArrayBuffer(4);
const scratch = { float: new Float32Array(buffer), bits: new Uint32Array(buffer) };

// float32 bits to float16 bits, to nearest even
function narrow(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520, halfway to the first power of two out of range

  // normal: shift the exponent's bias from 127 to 15, drop 13 bits; a carry into the exponent is what rounding up means
  if (magnitude >= 0x38800000) {
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }

  // subnormal: a multiple of 2^-24; below 2^-25 nothing is left
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return sign;
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const whole = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (rest > tie || (rest === tie && whole & 1) ? whole + 1 : whole);
}
