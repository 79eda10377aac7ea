// The last one to three float32 values of a buffer, where a whole vector would reach past its end.

const slot = memory.data(16, 16);

/** A vector of the first `bytes` bytes at `source`, the rest zero. */
export function loadPart(source: usize, bytes: usize): v128 {
  v128.store(slot, i32x4.splat(0));
  memory.copy(slot, source, bytes);
  return v128.load(slot);
}

/** Stores the first `bytes` bytes of the vector. */
@inline
export function storePart(target: usize, value: v128, bytes: usize): void {
  v128.store(slot, value);
  memory.copy(target, slot, bytes);
}
