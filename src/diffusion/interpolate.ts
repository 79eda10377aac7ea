import { assertNumber } from '../core/assert.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import type { Arena } from '../engine/arena.ts';
import type { Engine } from '../engine/engine.ts';

/**
 * Noise between two noises along the great circle (Shoemake 1985), which keeps the length that noise has and that a
 * straight line loses: sin((1-w) theta)/sin(theta) a + sin(w theta)/sin(theta) b, theta the angle of each pair of images,
 * from float64 sums.
 *
 * @param a Images [n, ...], such as the noise of a seed by `randn`, or images inverted.
 * @param b As many of the same shape.
 * @param weights From 0, which is a exactly, to 1, b exactly; or several.
 * @returns [n, ...] for one weight, [m*n, ...] for m: those of the first weight, then those of the next.
 */
export function slerp(engine: Engine, a: Tensor, b: Tensor, weights: number | readonly number[]): Tensor {
  assertTensor(a, 'a');
  assertTensor(b, 'b', a.shape);
  const list = typeof weights === 'number' ? [weights] : Array.from(weights);
  for (const weight of list) assertNumber(weight, 'weights', 0, 1);
  const [count, ...image] = a.shape;
  const shape = [list.length * count, ...image];
  return engine.scratch((arena) => {
    const size = sizeOf(a.shape);
    const [x, y] = [arena.allocF32(a.data), arena.allocF32(b.data)];
    const out = arena.alloc(list.length * size * 4);
    const angles = Array.from({ length: count }, (_, i) => angle(arena, { x, y, pixels: size / count }, i));
    const coefficients = arena.allocF64(list.flatMap((weight) => angles.flatMap((theta) => along(theta, weight))));
    for (const i of list.keys())
      arena.wasm.mix(out + i * size * 4, x, y, coefficients + i * count * 16, count, size / count);
    return { data: arena.f32(out, sizeOf(shape)).slice(), shape };
  });
}

function angle({ wasm }: Arena, { x, y, pixels }: { x: number; y: number; pixels: number }, image: number): number {
  const [a, b] = [x + image * pixels * 4, y + image * pixels * 4];
  const lengths = Math.sqrt(wasm.dot(a, a, pixels, 0) * wasm.dot(b, b, pixels, 0));
  return lengths > 0 ? Math.acos(Math.min(Math.max(wasm.dot(a, b, pixels, 0) / lengths, -1), 1)) : 0;
}

/** The weights of both ends; where they point the same way, or opposite ways and no circle is the shortest, a line. */
function along(theta: number, weight: number): [number, number] {
  const sine = Math.sin(theta);
  if (sine < 1e-6 || weight === 0 || weight === 1) return [1 - weight, weight];
  return [Math.sin((1 - weight) * theta) / sine, Math.sin(weight * theta) / sine];
}
