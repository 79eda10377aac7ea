import type { PlanRow } from '../diffusion/plan.ts';
import { GraphBuilder, type Value } from '../onnx/graph.ts';

/** A number of a row, or of the guidance around it: 'scale' of the conditional answer, 'rest' of the other. */
export type Weight = keyof PlanRow | 'scale' | 'rest';

/** What the rows of a plan add up, by the fields whose weights are not 0 in all of them. */
export interface RowTerms {
  /** What the next x is made of, in the order of the sum. */
  readonly sum: readonly Weight[];
  /** What a row keeps in a slot is made of; empty where none keeps anything. */
  readonly stored: readonly Weight[];
  /** Whether the network answers twice, first with a class and then without. */
  readonly guided: boolean;
}

const sumFields = ['x', 'model', 'start', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'sigma'] as const;
const storeFields = ['storeX', 'storeModel', 'storeStart'] as const;

/** The answer is always a term, be it times 0: an estimate may clip what is no number, but the sum does not. */
export function rowTerms(rows: readonly PlanRow[], guided: boolean): RowTerms {
  const used = (field: keyof PlanRow) => field === 'model' || rows.some((row) => row[field] !== 0);
  return { sum: sumFields.filter(used), stored: storeFields.filter(used), guided };
}

/** The weights that such a graph takes. */
export function rowWeights({ sum, stored, guided }: RowTerms): Weight[] {
  return ['a', 'b', ...sum, ...stored, ...(guided ? (['scale', 'rest'] as const) : [])];
}

/**
 * A graph that applies any row of a plan to images [N, C, H, W], in the engine's order of multiplications and sums: each
 * is an operator of its own, which no compiler can fuse with the next, so the numbers are the engine's.
 *
 * Inputs: `x`, `model` (of 2N images with guidance), h1 to h6 and `noise` as far as the terms have them, `low` and `high`,
 * the bounds of the estimate, and a number `row.NAME` [1] for each of `rowWeights`. Outputs: `next`, `start`, `stored`
 * where rows store, and with guidance `pair`, the next images twice, which is what the network is asked about.
 */
export function rowGraph({ sum, stored, guided }: RowTerms): Uint8Array {
  const g = new GraphBuilder('row');
  const images = (name: string) => g.input(name, 'float32', [name === 'model' ? 'M' : 'N', 'C', 'H', 'W']);
  const times = (value: Value, weight: Weight) => g.op('Mul', [value, g.input(`row.${weight}`, 'float32', [1])]);
  const total = (terms: readonly Value[]) => terms.reduce((a, b) => g.op('Add', [a, b]));

  const x = images('x');
  const answer = images('model');
  const [conditional, none] = guided ? g.ops('Split', [answer], 2, { axis: 0 }) : [];
  const model = guided ? total([times(conditional, 'scale'), times(none, 'rest')]) : answer;
  const bounds = [g.input('low', 'float32', []), g.input('high', 'float32', [])];
  const start = g.op('Clip', [total([times(x, 'a'), times(model, 'b')]), ...bounds]);

  const operands: Partial<Record<Weight, Value>> = { x, model, start, storeX: x, storeModel: model, storeStart: start };
  const operand = (weight: Weight) => operands[weight] ?? images(weight === 'sigma' ? 'noise' : weight);
  const sumOf = (weights: readonly Weight[]) => total(weights.map((weight) => times(operand(weight), weight)));
  const next = sumOf(sum);
  const outputs: Record<string, Value> = { next, start };
  if (stored.length > 0) outputs.stored = sumOf(stored);
  if (guided) outputs.pair = g.op('Concat', [next, next], { axis: 0 });
  for (const [name, value] of Object.entries(outputs))
    g.output(name, 'float32', [name === 'pair' ? 'M' : 'N', 'C', 'H', 'W'], value);
  return g.toBytes();
}
