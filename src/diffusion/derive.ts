import type { Plan, PlanRow } from './plan.ts';

/** What rows are told in `h1` to `h6`. */
export const historyWeights = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'] as const;

/** A plan of other rows for the same network, which starts from images as they are and not from fresh noise. */
export function derivePlan(plan: Plan, rows: readonly PlanRow[], changes: Partial<Plan> = {}): Plan {
  const asking = rows.filter(({ calls }) => calls > 0);
  return Object.freeze({
    ...plan,
    rows,
    sigmas: [],
    timesteps: asking.map(({ timestep }) => timestep),
    calls: asking.reduce((sum, { calls }) => sum + calls, 0),
    ...changes,
  });
}

/** Whether a row keeps nothing for later ones and reads nothing from earlier ones. */
export function standsAlone(row: PlanRow): boolean {
  return row.store === 0 && historyWeights.every((weight) => row[weight] === 0);
}

/** A row that asks no network and leaves x as it is, with changes. */
export function silentRow(timestep: number, changes: Partial<PlanRow>): PlanRow {
  const rest = { a: 0, b: 0, clip: Infinity, x: 1, model: 0, start: 0, sigma: 0, variance: 0 };
  const history = { h1: 0, h2: 0, h3: 0, h4: 0, h5: 0, h6: 0, store: 0, storeX: 0, storeModel: 0, storeStart: 0 };
  const learned = { logVarianceMin: 0, logVarianceMax: 0, thresholdRatio: 0, thresholdMax: 1, calls: 0, langevin: 0 };
  return Object.freeze({ timestep, ...rest, ...history, ...learned, ...changes });
}
