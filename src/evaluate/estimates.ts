import type { Estimate, TimestepEstimate } from './types.ts';

/** A mean and its standard error, one value after another (Welford 1962). */
export class RunningMean {
  #count = 0;
  #mean = 0;
  #squares = 0;

  add(value: number): void {
    this.#count++;
    const before = value - this.#mean;
    this.#mean += before / this.#count;
    this.#squares += before * (value - this.#mean);
  }

  get estimate(): Estimate {
    const n = this.#count;
    const variance = n > 1 ? this.#squares / (n - 1) : Number.NaN;
    return { mean: n > 0 ? this.#mean : Number.NaN, standardError: Math.sqrt(variance / n), count: n };
  }
}

/** Means for ranges of timesteps that follow one another: range i is from edges[i] up to, but not with, edges[i + 1]. */
export class RangeMeans {
  readonly #edges: readonly number[];
  readonly #means: readonly RunningMean[];

  constructor(edges: readonly number[]) {
    this.#edges = edges;
    this.#means = edges.slice(1).map(() => new RunningMean());
  }

  /** The range that a timestep is in. */
  rangeOf(timestep: number): number {
    const above = this.#edges.findIndex((edge) => timestep < edge);
    return above === -1 ? this.#means.length - 1 : Math.max(above - 1, 0);
  }

  add(range: number, value: number): void {
    this.#means[range].add(value);
  }

  get estimates(): TimestepEstimate[] {
    return this.#means.map((mean, i) => ({ ...mean.estimate, from: this.#edges[i], to: this.#edges[i + 1] - 1 }));
  }
}

/** `n` ranges of equal width, or fewer where there are not so many timesteps. */
export function evenEdges(timesteps: number, n: number): number[] {
  const count = Math.min(n, timesteps);
  return Array.from({ length: count + 1 }, (_, i) => Math.round((i * timesteps) / count));
}

/** Ranges from `first` on that grow with the timestep, as bounds fall with it: single timesteps at first, `n` at most. */
export function growingEdges(first: number, timesteps: number, n: number): number[] {
  const growth = (timesteps / first) ** (1 / n);
  const edges = Array.from({ length: n + 1 }, (_, i) => Math.round(first * growth ** i));
  return [...new Set(edges)];
}
