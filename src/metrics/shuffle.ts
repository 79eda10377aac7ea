/**
 * The numbers 0..count-1 in an order that the seed decides: Fisher and Yates' shuffle, fed by the generator sfc32
 * (Doty-Humphrey's PractRand). Each call gives the next order.
 */
export function shuffler(seed: number): (count: number) => Int32Array {
  const random = sfc32(seed);
  return (count) => {
    const order = Int32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  };
}

/** Uniform numbers in 0..1, 1 excluded, in steps of 2^-32. */
function sfc32(seed: number): () => number {
  let [a, b, c, counter] = [0, seed | 0, Math.floor(seed / 2 ** 32) | 0, 1];
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return (sum >>> 0) / 2 ** 32;
  };
  // seeds that differ in one bit need some rounds to part
  for (let i = 0; i < 20; i++) next();
  return next;
}
