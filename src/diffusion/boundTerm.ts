import type { Arena } from '../engine/arena.ts';
import type { Answered } from './evaluation.ts';
import { normalKl } from './gaussian.ts';
import { type LogVariance, type ReverseSettings, ReverseStep } from './reverseStep.ts';
import type { Schedule } from './schedule.ts';

/** A term of the bound for one image. */
export interface BoundTerm {
  /** L_{t-1}, or at t = 0 the reconstruction L_0, in bits per dimension. */
  readonly bits: number;
  /** The mean squared error of what the network takes the image to be, clipped where the step clips it. */
  readonly start: number;
  /** The mean squared error of the noise that follows from that. */
  readonly noise: number;
}

/** The terms of the bound, one image at a time: a reverse step and the sums over what it says. */
export class BoundTerms {
  readonly #arena: Arena;
  readonly #schedule: Schedule;
  readonly #settings: ReverseSettings;
  readonly #pixels: number;
  readonly #step: ReverseStep;

  /** `schedule` is that of the chain's steps. */
  constructor(arena: Arena, schedule: Schedule, settings: ReverseSettings, pixels: number) {
    this.#arena = arena;
    this.#schedule = schedule;
    this.#settings = settings;
    this.#pixels = pixels;
    this.#step = new ReverseStep(arena, schedule, { settings, pixels });
  }

  /** The term of step t of the chain. */
  take(t: number, answered: Answered): BoundTerm {
    const { wasm } = this.#arena;
    const { x0 } = answered;
    const pixels = this.#pixels;
    const logVariance = this.#step.take(t, answered);
    const squares = wasm.squaredError(x0, 1, x0, 0, this.#step.start, pixels);
    const { v, p, q } = logVariance;
    const nats =
      t === 0
        ? -wasm.discretized(x0, this.#step.mean, v, p, q, pixels)
        : this.#settings.learnedVariance
          ? this.#learnedKl(t, x0, logVariance)
          : this.#fixedKl(t, p, squares);
    const abar = this.#schedule.alphasCumprod[t];
    const start = squares / pixels;
    return { bits: nats / pixels / Math.LN2, start, noise: (abar / (1 - abar)) * start };
  }

  /** KL(q(x_{t-1} given x_t, x_0) to p(x_{t-1} given x_t)): the means differ by `posteriorMeanCoef1` times the start's error. */
  #fixedKl(t: number, logVariance: number, squares: number): number {
    const { posteriorLogVarianceClipped, posteriorMeanCoef1 } = this.#schedule;
    const apart = (posteriorMeanCoef1[t] ** 2 * squares) / Math.exp(logVariance);
    return this.#pixels * normalKl(0, posteriorLogVarianceClipped[t], 0, logVariance) + 0.5 * apart;
  }

  /** The same as a cross entropy less the posterior's entropy. */
  #learnedKl(t: number, x0: number, { v, p, q }: LogVariance): number {
    const { posteriorLogVarianceClipped, posteriorMeanCoef1 } = this.#schedule;
    const own = posteriorLogVarianceClipped[t];
    const scale = posteriorMeanCoef1[t] ** 2;
    const { start } = this.#step;
    const cross = this.#arena.wasm.crossEntropy(x0, start, scale, Math.exp(own), v, p, q, this.#pixels);
    return 0.5 * (cross - this.#pixels * (1 + own));
  }
}
