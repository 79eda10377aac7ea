/** A time as one says it: 42 s, 12 min, 3 h 05 min. */
export function duration(seconds: number): string {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** A large number in three digits: 942, 87.1 k, 1.77 M. */
export function shortCount(n: number): string {
  const power = n < 1000 ? 0 : Math.min(Math.floor(Math.log10(n) / 3), 3);
  return `${round(n / 1000 ** power, 3)}${['', ' k', ' M', ' G'][power]}`;
}

/** A number to so many significant digits, without zeros that say nothing. */
export function round(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}
