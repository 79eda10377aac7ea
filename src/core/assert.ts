import { show, wrongKind, wrongValue } from './errors.ts';

/** Throws unless `value` is a whole number in min..max. */
export function assertInteger(value: unknown, argument: string, min: number, max: number): asserts value is number {
  const range = max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer in ${min}..${max}`;
  if (typeof value !== 'number') throw wrongKind(argument, range, value);
  if (!Number.isInteger(value) || value < min || value > max) throw wrongValue(argument, range, value);
}

/** Throws unless `value` is a finite number in min..max. */
export function assertNumber(
  value: unknown,
  argument: string,
  min = -Infinity,
  max = Infinity,
): asserts value is number {
  const range =
    min === -Infinity && max === Infinity
      ? 'a finite number'
      : max === Infinity
        ? `a number of at least ${min}`
        : `a number in ${min}..${max}`;
  if (typeof value !== 'number') throw wrongKind(argument, range, value);
  if (!Number.isFinite(value) || value < min || value > max) throw wrongValue(argument, range, value);
}

/** Throws unless `value` is one of the given strings. */
export function assertOneOf<T extends string>(
  value: unknown,
  argument: string,
  choices: readonly T[],
): asserts value is T {
  const expected = choices.length > 1 ? `one of ${choices.join(', ')}` : choices[0];
  if (typeof value !== 'string') throw wrongKind(argument, expected, value);
  if (!(choices as readonly string[]).includes(value)) throw wrongValue(argument, expected, value);
}

/** Throws unless every key of an options object is known; catches misspelt options. */
export function assertKeys(options: object, argument: string, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw wrongValue(key, `no such option: ${argument} takes ${known.join(', ')}`, show(key));
  }
}
