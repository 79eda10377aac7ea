// A bump arena over the linear memory: what is allocated after a mark is given back by resetting to it.

const PAGE: u64 = 65536;
const MAX_PAGES: u64 = 65536;

let top: usize = (__heap_base + 15) & ~15;

/** Bytes on a 16-byte boundary, not zeroed; 0 if the memory cannot hold them. A float64, so that no size can wrap around. */
export function alloc(bytes: f64): usize {
  if (!(bytes >= 0 && bytes <= <f64>(MAX_PAGES * PAGE))) return 0;
  const start = top;
  const end = <u64>start + ((<u64>bytes + 15) & ~15);
  const pages = (end + PAGE - 1) / PAGE;
  // the last page stays free: the end of the arena must itself be a 32-bit number
  if (pages >= MAX_PAGES) return 0;
  const missing = <i32>pages - memory.size();
  if (missing > 0 && memory.grow(missing) < 0) return 0;
  top = <usize>end;
  return start;
}

/** The place to reset to. */
export function mark(): usize {
  return top;
}

/** Gives back everything allocated since the mark. */
export function reset(mark: usize): void {
  top = mark;
}

/** Elements that a kernel of several passes goes over at a time: its buffers then stay in the first-level cache. */
export const RUN = 1024;
