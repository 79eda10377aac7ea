import { alphaCumprodAt, type Denoiser, type Schedule, type VectorJacobian } from '../../src/index.ts';

/** A part of a mixture: a normal distribution of one variance in all directions. */
export interface Component {
  readonly weight: number;
  readonly mean: readonly number[];
  readonly deviation: number;
}

/** A mixture of normal distributions, of which everything that a diffusion model estimates is known. */
export class Mixture {
  readonly components: readonly Component[];
  readonly dimensions: number;

  constructor(components: readonly Component[]) {
    this.components = components;
    this.dimensions = components[0].mean.length;
  }

  /** The logarithm of the density of x, in nats. */
  logDensity(x: readonly number[]): number {
    const terms = this.#logTerms(x, 0);
    const most = Math.max(...terms);
    return most + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - most), 0));
  }

  /** The best estimate of the noise in x = x_0 + sigma*noise, and how it changes with x. */
  noise(x: readonly number[], sigma: number): { noise: number[]; jacobian: number[][] } {
    const terms = this.#logTerms(x, sigma ** 2);
    const most = Math.max(...terms);
    const parts = terms.map((term) => Math.exp(term - most));
    const whole = parts.reduce((sum, part) => sum + part, 0);
    const axes = Array.from({ length: this.dimensions }, (_, i) => i);
    const noise = axes.map(() => 0);
    const jacobian = axes.map(() => axes.map(() => 0));
    this.components.forEach(({ mean, deviation }, k) => {
      const variance = deviation ** 2 + sigma ** 2;
      const share = (sigma * parts[k]) / whole;
      const slope = axes.map((i) => (x[i] - mean[i]) / variance);
      for (const i of axes) {
        noise[i] += share * slope[i];
        jacobian[i][i] += share / variance;
        for (const j of axes) jacobian[i][j] -= share * slope[i] * slope[j];
      }
    });
    for (const i of axes) for (const j of axes) jacobian[i][j] += (noise[i] * noise[j]) / sigma;
    return { noise, jacobian };
  }

  /** Points of the mixture, by a generator of numbers in 0..1. */
  sample(count: number, random: () => number): number[][] {
    const upTo = this.components.map((_, k) => this.components.slice(0, k + 1).reduce((sum, c) => sum + c.weight, 0));
    return Array.from({ length: count }, () => {
      const drawn = random();
      const { mean, deviation } = this.components[upTo.findIndex((weight) => drawn < weight)] ?? this.components[0];
      return mean.map((m) => m + deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
    });
  }

  #logTerms(x: readonly number[], added: number): number[] {
    return this.components.map(({ weight, mean, deviation }) => {
      const variance = deviation ** 2 + added;
      const distance = x.reduce((sum, value, i) => sum + (value - mean[i]) ** 2, 0);
      return Math.log(weight) - (x.length / 2) * Math.log(2 * Math.PI * variance) - distance / (2 * variance);
    });
  }
}

/** The best denoiser of a mixture for a schedule, with the product of a vector and its Jacobian. */
export function mixtureOracle(schedule: Schedule, mixture: Mixture): { denoiser: Denoiser; vjp: VectorJacobian } {
  const { predictionType } = schedule.config;
  const n = mixture.dimensions;
  const rows = (x: Float32Array, timesteps: Float32Array, row: (x: number[], abar: number, i: number) => number[]) =>
    Float32Array.from(
      [...timesteps].flatMap((t, i) => row([...x.subarray(i * n, (i + 1) * n)], alphaCumprodAt(schedule, t), i)),
    );
  return {
    denoiser: (x, timesteps) => ({
      shape: x.shape,
      data: rows(x.data, timesteps, (x, abar) => {
        const [signal, level] = [Math.sqrt(abar), Math.sqrt(1 - abar)];
        const { noise } = mixture.noise(
          x.map((v) => v / signal),
          level / signal,
        );
        if (predictionType === 'epsilon') return noise;
        const image = x.map((v, i) => (v - level * noise[i]) / signal);
        return predictionType === 'sample' ? image : noise.map((v, i) => signal * v - level * image[i]);
      }),
    }),
    // of noise predictions only
    vjp: (x, timesteps, v) => ({
      shape: x.shape,
      data: rows(x.data, timesteps, (x, abar, k) => {
        const signal = Math.sqrt(abar);
        const { jacobian } = mixture.noise(
          x.map((v) => v / signal),
          Math.sqrt(1 - abar) / signal,
        );
        return x.map((_, j) => jacobian.reduce((sum, row, i) => sum + (v.data[k * n + i] * row[j]) / signal, 0));
      }),
    }),
  };
}

/** Numbers in 0..1 that are the same every time. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
