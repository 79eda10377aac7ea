/**
 * Whether a name is what a pattern says, in which each * stands for anything, dots included. Takes the shortest stretch
 * for each *, which is right because only the last piece is bound to the end: no pattern takes long.
 */
export function matches(name: string, pattern: string): boolean {
  const [first, ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = name.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
