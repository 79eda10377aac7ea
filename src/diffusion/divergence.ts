import type { Arena } from '../engine/arena.ts';
import type { Flow } from './flow.ts';
import type { Step } from './ode.ts';
import { combine, type Question, type Terms, type Work } from './questions.ts';

/** How a divergence is estimated. */
export interface Estimator {
  readonly arena: Arena;
  readonly flow: Flow;
  readonly pixels: number;
  /** Buffers of +-1, mutually orthogonal; `population` of them would give the divergence exactly. */
  readonly probes: readonly number[];
  readonly population: number;
  /** Buffers for the state, and for the Jacobian times a probe. */
  readonly state: number;
  readonly product: number;
  /** Half the distance of a symmetric difference, relative to the noise in x. */
  readonly difference: number;
  /** Whether the vector-Jacobian product is known and takes the place of differences. */
  readonly exact: boolean;
  readonly tolerance: number;
}

/** The integral of the divergence so far, in nats, with what it may be off by. */
export interface Integral {
  value: number;
  /** A bound of the standard deviation that Hutchinson's estimator leaves. */
  probeError: number;
  /** What the symmetric difference is off by: estimated from one of twice the distance. */
  differenceError: number;
}

// the nodes on [0, 1] of Gauss's rule of two points, and of Kronrod's of five that contains it, with their weights
const gauss = [0.5 - Math.sqrt(1 / 12), 0.5 + Math.sqrt(1 / 12)];
const gaussWeights = [1 / 2, 1 / 2];
const kronrod = [0.5 - Math.sqrt(3 / 14), 0.5, 0.5 + Math.sqrt(3 / 14)];
const kronrodWeights = [49 / 495, 27 / 110, 14 / 45, 27 / 110, 49 / 495];

// every fourth step is looked at with twice the distance too
const stepsToCheck = 4;

/** The divergence at an angle, and the deviation of its estimate. */
interface Sample {
  readonly angle: number;
  readonly value: number;
  readonly deviation: number;
  /** What the first probe alone says. */
  readonly alone: number;
}

/**
 * What is done at each step of a flow to integrate its divergence: two nodes of Gauss, and Kronrod's three more where they
 * do not fit in with the nodes before them. A step is too long where the three change too much. What the integral may
 * err by a pixel is the square root of the tolerance: the density changes by far more than the path.
 */
export function alongSteps(estimator: Estimator, integral: Integral): (step: Step) => Work<boolean> {
  const { arena, pixels, exact } = estimator;
  const allowed = Math.sqrt(estimator.tolerance) * pixels;
  // there is no divergence where there is no noise
  let before: Sample[] = [{ angle: 0, value: 0, deviation: 0, alone: 0 }];
  let steps = 0;
  let error = 0;

  return function* visit({ angle, length, at }) {
    const sample = function* (part: number): Work<Sample> {
      combine(arena, estimator.state, at(part), pixels);
      return yield* divergence(estimator, angle + part * length);
    };
    const first = yield* sample(gauss[0]);
    if (!exact && steps++ % stepsToCheck === 0) error = yield* differenceError(estimator, first);
    const last = yield* sample(gauss[1]);
    let rule: Rule = { samples: [first, last], weights: gaussWeights };
    if (misfit([...before, first, last].slice(-5), length) > allowed) {
      const [low, middle, high] = kronrod;
      const samples = [yield* sample(low), first, yield* sample(middle), last, yield* sample(high)];
      const five = { samples, weights: kronrodWeights };
      if (length * Math.abs(sum(five, 'value') - sum(rule, 'value')) > 10 * allowed) return false;
      rule = five;
    }
    integral.value += length * sum(rule, 'value');
    integral.probeError += length * sum(rule, 'deviation');
    integral.differenceError += length * error;
    before = [...before, ...rule.samples].slice(-3);
    return true;
  };
}

/** Samples along a step, and what each weighs. */
interface Rule {
  readonly samples: readonly Sample[];
  readonly weights: readonly number[];
}

function sum({ samples, weights }: Rule, of: 'value' | 'deviation'): number {
  return samples.reduce((total, sample, i) => total + weights[i] * sample[of], 0);
}

/** How far Gauss's two points are off a polynomial through them and the points before: its highest divided difference. */
function misfit(samples: readonly Sample[], length: number): number {
  let differences = samples.map(({ value }) => value);
  for (let order = 1; order < samples.length; order++)
    differences = differences
      .slice(1)
      .map((value, i) => (value - differences[i]) / (samples[i + order].angle - samples[i].angle));
  // the integral of the polynomial's last term; of three points, on the first step, what N(m, s^2) with small s shows
  return (Math.abs(differences[0]) * length ** samples.length) / (samples.length === 5 ? 180 : 250);
}

/** The divergence of the flow at `estimator.state`: the mean of v^T J v over the probes v (Hutchinson 1990). */
function* divergence(estimator: Estimator, angle: number): Work<Sample> {
  const { arena, pixels, probes, population, product } = estimator;
  const answers = yield probes.flatMap((probe) => questions(estimator, angle, probe));
  const values: number[] = [];
  let squares = 0;
  probes.forEach((probe, i) => {
    applyJacobian(estimator, angle, probe, answers.slice((i * answers.length) / probes.length));
    values.push(arena.wasm.dot(probe, product, pixels, 0));
    squares += arena.wasm.dot(product, product, pixels, 0) / probes.length;
  });
  const value = values.reduce((sum, one) => sum + one, 0) / probes.length;
  // 2 (|J|^2 - sum of J_ii^2) bounds the variance of one probe; |J v|^2 estimates the first and (tr J)^2/n bounds the other.
  // Drawing probes of a finite population without putting them back takes the last factor off
  const variance = 2 * Math.max(squares - value ** 2 / pixels, 0);
  const left = (population - probes.length) / Math.max(population - 1, 1) / probes.length;
  return { angle, value, deviation: Math.sqrt(variance * left), alone: values[0] };
}

/** A third of what twice the distance changes: the error grows with the distance squared. */
function* differenceError(estimator: Estimator, { angle, alone }: Sample): Work<number> {
  const { arena, pixels, product, probes } = estimator;
  const answers = yield questions(estimator, angle, probes[0], 2);
  applyJacobian(estimator, angle, probes[0], answers, 2);
  return Math.abs(arena.wasm.dot(probes[0], product, pixels, 0) - alone) / 3;
}

/** What the network is asked about a probe: both ends of a symmetric difference, or the product with its Jacobian. */
function questions(estimator: Estimator, angle: number, probe: number, far = 1): Question[] {
  const { flow, state, exact } = estimator;
  return flow.velocity(angle).asks.flatMap(({ timestep, scale }): Question[] => {
    if (exact) return [{ timestep, image: [[state, scale]], probe }];
    const h = scale * far * distance(estimator, angle);
    return [h, -h].map((h) => ({
      timestep,
      image: [
        [state, scale],
        [probe, h],
      ],
    }));
  });
}

/** The Jacobian of the flow's velocity times a probe, or its transpose, to `estimator.product`. */
function applyJacobian(estimator: Estimator, angle: number, probe: number, answers: readonly number[], far = 1): void {
  const { arena, flow, pixels, product, exact } = estimator;
  const { own, asks } = flow.velocity(angle);
  const terms: Terms[number][] = [[probe, own]];
  asks.forEach(({ scale, weight }, i) => {
    const part = weight / (2 * far * distance(estimator, angle));
    if (exact) terms.push([answers[i], weight * scale]);
    else terms.push([answers[2 * i], part], [answers[2 * i + 1], -part]);
  });
  combine(arena, product, terms, pixels);
}

/**
 * Relative to the noise in x, which is what a network's answer changes with. The floor keeps 2^-13 of the rounding of x off
 * the difference where there is little noise.
 */
function distance({ arena, difference, pixels, state }: Estimator, angle: number): number {
  const size = Math.sqrt(arena.wasm.dot(state, state, pixels, 0) / pixels);
  return difference * Math.max(Math.sin(angle), size / 16);
}
