// Images in [-1, 1], planar float32 [channels, plane], to and from interleaved bytes [plane, channels].

/** round(clamp(x/2 + 0.5, 0, 1) * 255), half to even, in float32 and in this order, as diffusers does; NaN gives 0. */
export function toBytes(out: usize, x: usize, channels: i32, plane: i32): void {
  for (let channel = 0; channel < channels; channel++) {
    let target = out + channel;
    for (const end = x + (<usize>plane << 2); x < end; x += 4) {
      const value = min<f32>(max<f32>(load<f32>(x) * 0.5 + 0.5, 0), 1);
      store<u8>(target, <u32>nearest<f32>(value * 255));
      target += channels;
    }
  }
}

/** byte / 127.5 - 1 in float32. */
export function fromBytes(out: usize, bytes: usize, channels: i32, plane: i32): void {
  for (let channel = 0; channel < channels; channel++) {
    let source = bytes + channel;
    for (const end = out + (<usize>plane << 2); out < end; out += 4) {
      store<f32>(out, <f32>load<u8>(source) / <f32>127.5 - 1);
      source += channels;
    }
  }
}
