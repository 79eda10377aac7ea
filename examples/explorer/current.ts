// The run that the sampling panel shows: its plan, and the network call that is looked at, which the panel of rows follows.
import type { Plan, PlanRow } from 'ddpm-wasm';
import { Store } from './store.ts';

export interface Current {
  readonly plan: Plan;
  /** Which network call, from 0. */
  readonly call: number;
}

export const current = new Store<Current | undefined>(undefined);

export function lookAt(call: number): void {
  if (current.value) current.value = { ...current.value, call };
}

/** The row that a network call is in; rows that call no network come between. */
export function rowOf({ plan, call }: Current): { readonly index: number; readonly row: PlanRow } {
  let calls = -1;
  const index = plan.rows.findIndex((row) => {
    if (row.calls > 0) calls++;
    return calls === call;
  });
  return { index, row: plan.rows[index] };
}
