// What editing does to pixels: keep known ones, lead the network's estimate elsewhere, and the sums that weigh two images.

/**
 * x = mask*known + (1 - mask)*x, in place. A mask of 1 gives just `known`, one of 0 leaves just `x`, if both are finite.
 * The buffers are whole ones of the arena: what fills them up to 16 bytes may be overwritten.
 */
export function blend(x: usize, known: usize, mask: usize, count: i32): void {
  const one = f32x4.splat(1);
  for (const end = x + (<usize>count << 2); x < end; ) {
    const m = v128.load(mask);
    const kept = f32x4.mul(m, v128.load(known));
    v128.store(x, f32x4.add(kept, f32x4.mul(f32x4.sub(one, m), v128.load(x))));
    x += 16;
    known += 16;
    mask += 16;
  }
}

/**
 * Changes what a network is taken to have said so that a*x + b*model becomes `start`: model += (start - (a*x + b*model))/b
 * for one image of `count` pixels, in place. A start that is a*x + b*model already changes nothing, bit for bit.
 */
export function redirect(model: usize, x: usize, start: usize, a: f64, b: f64, count: i32): void {
  const ca = <f32>a;
  const cb = <f32>b;
  const inverse = <f32>(1 / b);
  const end = model + (<usize>count << 2);
  for (; model + 16 <= end; model += 16) {
    const m = v128.load(model);
    const before = f32x4.add(f32x4.mul(f32x4.splat(ca), v128.load(x)), f32x4.mul(f32x4.splat(cb), m));
    const change = f32x4.sub(v128.load(start), before);
    v128.store(model, f32x4.add(m, f32x4.mul(f32x4.splat(inverse), change)));
    x += 16;
    start += 16;
  }
  for (; model < end; model += 4) {
    const m = load<f32>(model);
    store<f32>(model, m + inverse * (load<f32>(start) - (ca * load<f32>(x) + cb * m)));
    x += 4;
    start += 4;
  }
}

/** The sum of (x - shift)*(y - shift), in float64: a scalar product, or n times a variance. */
export function dot(x: usize, y: usize, count: i32, shift: f64): f64 {
  const s = f64x2.splat(shift);
  const end = x + (<usize>count << 2);
  let sums = f64x2.splat(0);
  for (; x + 8 <= end; x += 8) {
    const a = f64x2.promote_low_f32x4(v128.load64_zero(x));
    const b = f64x2.promote_low_f32x4(v128.load64_zero(y));
    sums = f64x2.add(sums, f64x2.mul(f64x2.sub(a, s), f64x2.sub(b, s)));
    y += 8;
  }
  const sum = f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
  return x < end ? sum + (<f64>load<f32>(x) - shift) * (<f64>load<f32>(y) - shift) : sum;
}

/** The variance of the values, over all of them, in float64. */
export function variance(x: usize, count: i32): f64 {
  let sum: f64 = 0;
  for (let at = x; at < x + (<usize>count << 2); at += 4) sum += <f64>load<f32>(at);
  return dot(x, x, count, sum / <f64>count) / <f64>count;
}
