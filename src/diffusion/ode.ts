import { DdpmError } from '../core/errors.ts';
import type { Arena } from '../engine/arena.ts';
import type { Flow } from './flow.ts';
import { combine, type Terms, type Work } from './questions.ts';

/** The buffers that following one image takes, each of the image's size. */
export interface Place {
  readonly x: number;
  readonly next: number;
  /** The seven stages of a step. */
  readonly stages: readonly number[];
  readonly spare: number;
}

/** A step that was taken. */
export interface Step {
  readonly angle: number;
  readonly length: number;
  /** The state a part of the step on, from 0 to 1, as a sum of buffers: fourth order, at no further call. */
  at(part: number): Terms;
}

/** What is followed, and how closely. */
export interface Problem {
  readonly arena: Arena;
  readonly flow: Flow;
  readonly pixels: number;
  readonly place: Place;
  /** What the error of a step may be, absolutely and relative to x: the root of the mean of its squares over pixels. */
  readonly tolerance: number;
  /** Whether a step is short enough for what is done along it. */
  visit(step: Step): Work<boolean>;
}

/** Pure noise: x = cos(angle) x_0 + sin(angle) noise. */
export const quarter = Math.PI / 2;

// Dormand and Prince 1980, "A family of embedded Runge-Kutta formulae", the pair 5(4) with seven stages, the last of which
// is the first of the next step; and the weights of its interpolant from Hairer, Norsett and Wanner 1993, section II.6
const nodes = [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1];
const tableau = [
  [],
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
const errors = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];
const dense = [
  -12715105075 / 11282082432,
  0,
  87487479700 / 32700410799,
  -10690763975 / 1880347072,
  701980252875 / 199316789632,
  -1453857185 / 822651844,
  69997945 / 29380423,
];

/** Follows the flow from the image in `place.x` at angle 0 to noise at pi/2, which is in the buffer returned. */
export function* follow({ arena, flow, pixels, place, tolerance, visit }: Problem): Work<number> {
  let { x, next } = place;
  let stages = place.stages;
  let angle = 0;
  // what most densities allow from there on
  let length = 0.5 * tolerance ** (1 / 5);
  // at angle 0 there is no noise to follow
  combine(arena, stages[0], [], pixels);
  while (angle < quarter) {
    const left = quarter - angle;
    if (length >= left) length = left;
    else if (2 * length > left) length = left / 2;
    if (!(length > 1e-9))
      throw new DdpmError('network-failed', `the flow at angle ${angle} cannot be followed to within ${tolerance}`);

    for (let i = 1; i < nodes.length; i++) {
      combine(arena, next, [[x, 1], ...weighed(stages, tableau[i], length)], pixels);
      yield* velocity(arena, { flow, pixels, angle: angle + nodes[i] * length, x: next, out: stages[i] });
    }
    combine(arena, place.spare, weighed(stages, errors, length), pixels);
    const error = Math.sqrt(arena.wasm.scaledError(place.spare, x, next, pixels, tolerance) / pixels);
    const factor = Math.min(Math.max(0.9 * error ** (-1 / 5), 0.2), 5);
    if (error <= 1) {
      const [start, slopes, whole] = [x, stages, length];
      const at = (part: number): Terms => [[start, 1], ...weighed(slopes, interpolant(part), whole)];
      if (!(yield* visit({ angle, length, at }))) {
        length /= 3;
        continue;
      }
      angle = length === left ? quarter : angle + length;
      [x, next] = [next, x];
      stages = [stages[6], ...stages.slice(1, 6), stages[0]];
    }
    length *= factor;
  }
  return x;
}

/** The velocity of the flow at x, to `out`. */
function* velocity(
  arena: Arena,
  { flow, pixels, angle, x, out }: { flow: Flow; pixels: number; angle: number; x: number; out: number },
): Work<void> {
  const { own, asks } = flow.velocity(angle);
  const answers = yield asks.map(({ timestep, scale }) => ({ timestep, image: [[x, scale]] }));
  combine(arena, out, [[x, own], ...answers.map((answer, i) => [answer, asks[i].weight] as const)], pixels);
}

function weighed(stages: readonly number[], weights: readonly number[], length: number): Terms {
  return weights.flatMap((weight, i) => (weight === 0 ? [] : [[stages[i], length * weight] as const]));
}

/** The weights of the stages for the state a part of the step on. */
function interpolant(part: number): number[] {
  const rest = 1 - part;
  return tableau[6].concat(0).map((whole, i) => {
    const first = (i === 0 ? 1 : 0) - whole;
    const last = whole - (i === 6 ? 1 : 0) - first;
    return part * (whole + rest * (first + part * (last + rest * dense[i])));
  });
}
