import { assertKeys, assertNumber, assertOneOf } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import { type Sampler, samplers } from '../core/samplers.ts';
import type { Engine } from '../engine/engine.ts';
import { checkedRows, type PlanRow } from './planRow.ts';

/** A sampler as a table: what to ask the network and how to combine its answers, computed before anything runs. */
export interface Plan {
  readonly engine: Engine;
  readonly sampler: Sampler | undefined;
  /** What the network is told, call by call. */
  readonly timesteps: readonly number[];
  readonly rows: readonly PlanRow[];
  /**
   * The noise levels sqrt((1 - abar)/abar) at each step and after the last, for samplers that step between them; empty
   * for the others.
   */
  readonly sigmas: readonly number[];
  /** Network calls for one image. */
  readonly calls: number;
  /** What unit-variance noise is multiplied by to become the first x. */
  readonly initialScale: number;
  /** Whether rows need a network that predicts the variance as well. */
  readonly learnedVariance: boolean;
  /** What was ignored or assumed. */
  readonly notes: readonly string[];
}

/**
 * A plan from rows that were printed, stored or sent: it gives the same bytes as the plan they came from.
 *
 * Numbers are taken as they are; a `clip` of null is Infinity, which JSON cannot write.
 *
 * @throws TypeError or RangeError naming the row and the number.
 * @example
 * const again = planFromRows(engine, JSON.parse(JSON.stringify({ rows: plan.rows, initialScale: plan.initialScale })));
 */
export function planFromRows(
  engine: Engine,
  plan: {
    rows: readonly (Omit<PlanRow, 'clip'> & { readonly clip: number | null })[];
    initialScale?: number;
    sampler?: string;
  },
): Plan {
  if (typeof plan !== 'object' || plan === null) throw wrongKind('plan', 'an object', plan);
  assertKeys(plan, 'a plan', [
    'rows',
    'initialScale',
    'sampler',
    'timesteps',
    'sigmas',
    'calls',
    'learnedVariance',
    'notes',
  ]);
  const { initialScale = 1, sampler } = plan;
  assertNumber(initialScale, 'initialScale');
  if (sampler !== undefined) assertOneOf(sampler, 'sampler', samplers);
  return freezePlan({ engine, sampler, sigmas: [], rows: checkedRows(plan.rows), initialScale, notes: [] });
}

/** Adds what follows from the rows. */
export function freezePlan(plan: Omit<Plan, 'timesteps' | 'calls' | 'learnedVariance'>): Plan {
  const calling = plan.rows.filter((row) => row.calls > 0);
  return Object.freeze({
    ...plan,
    timesteps: calling.map((row) => row.timestep),
    calls: calling.length,
    learnedVariance: plan.rows.some((row) => row.variance !== 0),
  });
}
