import { assertInteger } from '../core/assert.ts';

/** A mean that is kept up value by value, with its standard error (Welford 1962). */
export class RunningMean {
  #count = 0;
  #mean = 0;
  #squares = 0;

  /** How many values there were. */
  get count(): number {
    return this.#count;
  }

  /** NaN before the first value. */
  get mean(): number {
    return this.#count > 0 ? this.#mean : Number.NaN;
  }

  /** The standard deviation of independent values over the square root of their number; NaN for fewer than two. */
  get standardError(): number {
    return Math.sqrt(this.#squares / (this.#count - 1) / this.#count);
  }

  add(value: number): void {
    this.#count++;
    const before = value - this.#mean;
    this.#mean += before / this.#count;
    this.#squares += before * (value - this.#mean);
  }

  addAll(values: Iterable<number>): void {
    for (const value of values) this.add(value);
  }
}

/** The mean of values at timesteps from..to, both included. */
export interface TimestepBin {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly mean: number;
  readonly standardError: number;
}

/** Means by timestep, over bins of T timesteps that are as equal as whole timesteps allow. */
export class TimestepBins {
  readonly #T: number;
  readonly #means: readonly RunningMean[];

  /** @throws RangeError where there are more bins than timesteps. */
  constructor(T: number, bins: number) {
    assertInteger(T, 'T', 1, Number.MAX_SAFE_INTEGER);
    assertInteger(bins, 'bins', 1, T);
    this.#T = T;
    this.#means = Array.from({ length: bins }, () => new RunningMean());
  }

  /** Adds values, each at the timestep of the same index: those of `simpleLoss`, or the `errors` of a bound. */
  add(timesteps: ArrayLike<number>, values: ArrayLike<number>): void {
    for (let i = 0; i < values.length; i++)
      this.#means[Math.floor((timesteps[i] * this.#means.length) / this.#T)].add(values[i]);
  }

  /** The bins as they stand, first timesteps first. */
  get bins(): TimestepBin[] {
    const edge = (bin: number) => Math.ceil((bin * this.#T) / this.#means.length);
    return this.#means.map(({ count, mean, standardError }, bin) => {
      return { from: edge(bin), to: edge(bin + 1) - 1, count, mean, standardError };
    });
  }
}
