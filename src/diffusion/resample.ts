import { assertInteger } from '../core/assert.ts';
import { wrongValue } from '../core/errors.ts';
import { alphaCumprodAt } from './alphaCumprodAt.ts';
import { derivePlan, silentRow, standsAlone } from './derive.ts';
import type { Plan, PlanRow } from './plan.ts';
import type { Schedule } from './schedule.ts';

/**
 * A plan that goes back towards noise on its way and denoises again, which brings what inpainting generates into
 * harmony with what it keeps (RePaint, Lugmayr et al. 2022, section 4.2 and its schedule of jumps).
 *
 * At every `jumpLength` steps from the end the images are noised again by that many steps, `jumpCount` - 1 times. A jump
 * is one row without a network call: x' = sqrt(abar_t/abar_s) x + sqrt(1 - abar_t/abar_s) z. It leaves the distribution
 * of the images as it is.
 *
 * @param options.jumpLength How many steps a jump undoes. Default 10, as in the paper.
 * @param options.jumpCount How often each stretch is run: 1 is the plan as it was. Default 10.
 * @throws RangeError naming "sampler" for one whose steps lean on those before, which a jump would not undo.
 */
export function resamplePlan(
  schedule: Schedule,
  plan: Plan,
  options: { readonly jumpLength?: number; readonly jumpCount?: number } = {},
): Plan {
  const { jumpLength = 10, jumpCount = 10 } = options;
  assertInteger(jumpCount, 'jumpCount', 1, 1000);
  if (jumpCount === 1) return plan;
  assertInteger(jumpLength, 'jumpLength', 1, Math.max(plan.rows.length - 1, 1));
  if (plan.sampler === 'ddim-inverse' || !plan.rows.every((row) => row.calls === 1 && standsAlone(row)))
    throw wrongValue('sampler', 'one of single steps, such as ddpm or ddim, to jump back', plan.sampler);
  return derivePlan(plan, rowsWithJumps(schedule, plan.rows, { jumpLength, jumpCount }));
}

/** The rows in the order of RePaint's schedule; `left` is how many rows of the plan are left to run. */
function rowsWithJumps(
  schedule: Schedule,
  rows: readonly PlanRow[],
  { jumpLength, jumpCount }: { jumpLength: number; jumpCount: number },
): PlanRow[] {
  const n = rows.length;
  const before = (left: number) => rows[n - left];
  // from where images are at the level of a row, to that of the row `jumpLength` before it
  const jumpsFrom = new Map<number, number>();
  for (let left = 1; left + jumpLength <= n; left += jumpLength) jumpsFrom.set(left, jumpCount - 1);

  const result: PlanRow[] = [];
  for (let left = n; left > 0; ) {
    result.push(before(left));
    left--;
    const jumps = jumpsFrom.get(left) ?? 0;
    if (jumps === 0) continue;
    jumpsFrom.set(left, jumps - 1);
    result.push(jumpRow(schedule, before(left), before(left + jumpLength)));
    left += jumpLength;
  }
  return result;
}

/** From the level that one row begins at back to the noisier one of another: q(x_t given x_s), Ho et al. 2020, eq. 2. */
function jumpRow(schedule: Schedule, { timestep: s }: PlanRow, { timestep: t }: PlanRow): PlanRow {
  const kept = alphaCumprodAt(schedule, t) / alphaCumprodAt(schedule, s);
  return silentRow(t, { x: Math.sqrt(kept), sigma: Math.sqrt(1 - kept) });
}
