/** Philox4x32-10 (Salmon et al., 2011), one counter at a time. */
export function philoxReference(key: bigint, counter: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt);
  let [k0, k1] = [key & MASK, (key >> 32n) & MASK];
  for (let round = 0; round < 10; round++) {
    const [p0, p1] = [c0 * 0xd2511f53n, c2 * 0xcd9e8d57n];
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & MASK, (p0 >> 32n) ^ c3 ^ k1, p0 & MASK];
    k0 = (k0 + 0x9e3779b9n) & MASK;
    k1 = (k1 + 0xbb67ae85n) & MASK;
  }
  return [c0, c1, c2, c3].map(Number);
}

const MASK = 0xffffffffn;

/** What `normals` draws for one element, in float64 from the same float32 uniforms; and the radius of its pair. */
export function normalReference(
  seed: bigint,
  draw: number,
  image: bigint,
  element: number,
  philox = philoxReference,
): [number, number] {
  const group = Math.floor(element / 16);
  const output = Math.floor((element % 16) / 4);
  const counter = [4 * group + (element % 4), draw, Number(image & MASK), Number(image >> 32n)];
  const words = philox(seed, counter);
  const [a, b] = output < 2 ? [words[0], words[1]] : [words[2], words[3]];

  const u = Math.fround(Math.fround(a & 0x7fffffff) + 0.5) * 2 ** -31;
  const phi = (Math.PI / 2) * Math.fround(b | 0) * 2 ** -31;
  const radius = Math.sqrt(-2 * Math.log(u));
  const end = a >>> 31 ? -radius : radius;
  return [end * (output % 2 === 0 ? Math.cos(phi) : Math.sin(phi)), radius];
}
