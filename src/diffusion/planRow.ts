import { assertInteger, assertKeys, assertNumber } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';

/** The float64 numbers of one row in the engine's memory; the names are those of assembly/row.ts in its order. */
const fields = [
  'timestep',
  'a',
  'b',
  'clip',
  'x',
  'model',
  'start',
  'h1',
  'h2',
  'h3',
  'h4',
  'h5',
  'h6',
  'sigma',
  'variance',
  'logVarianceMin',
  'logVarianceMax',
  'thresholdRatio',
  'thresholdMax',
  'calls',
  'store',
  'storeX',
  'storeModel',
  'storeStart',
  'langevin',
] as const;

export const rowFields = fields.length;
/** How many things rows can keep for later ones. */
export const slotCount = 6;

/**
 * One step of a sampler, as numbers:
 *
 *     start = clamp(a*x + b*model, -clip, clip)
 *     x'    = x*x + model*model + start*start + h1*h1 + ... + h6*h6 + sigma*z    the row's weight on the left of each *
 *
 * where h1 to h6 are what earlier rows kept: a row with `store` n keeps storeX*x + storeModel*model + storeStart*start,
 * of the x that it began with, as hn. A row with `calls` 0 asks no network and combines what is there already.
 * `variance` 1 and 2 say that sigma comes from the model's second half of channels (learned, learned range);
 * a `thresholdRatio` above 0 says that the start is divided by that quantile of its size instead of clamped. A `langevin`
 * r above 0 says that the weights add up to a score s, and that x' = x + e*s + sqrt(2e)*z with e = (r |z|/|s|)^2 an image.
 */
export type PlanRow = { readonly [K in (typeof fields)[number]]: number };

/** How many rows a plan may have. */
const maxRows = 1_000_000;

/** The rows as the engine's kernels read them. */
export function rowData(rows: readonly PlanRow[]): Float64Array {
  return Float64Array.from(rows.flatMap((row) => fields.map((field) => row[field])));
}

/** Rows as the engine wrote them. */
export function readRows(data: Float64Array): PlanRow[] {
  return Array.from({ length: data.length / rowFields }, (_, i) =>
    Object.freeze(Object.fromEntries(fields.map((field, j) => [field, data[i * rowFields + j]])) as PlanRow),
  );
}

/** Rows from the caller, every number checked; null stands for Infinity, as in JSON. */
export function checkedRows(rows: unknown): PlanRow[] {
  if (!Array.isArray(rows)) throw wrongKind('rows', 'an array of rows', rows);
  if (rows.length === 0 || rows.length > maxRows)
    throw wrongValue('rows', `1 to ${maxRows} rows`, `${rows.length} rows`);
  const checked = rows.map((row, i) => checkedRow(row, `rows[${i}]`));
  if (!checked.some((row) => row.calls > 0)) throw wrongValue('rows', 'a row that calls the network', rows);
  return checked;
}

function checkedRow(row: unknown, name: string): PlanRow {
  if (typeof row !== 'object' || row === null) throw wrongKind(name, 'a row', row);
  assertKeys(row, 'a row', fields);
  const values = fields.map((field) => {
    const given = (row as Record<string, unknown>)[field];
    const value = field === 'clip' && given === null ? Number.POSITIVE_INFINITY : given;
    if (field === 'clip' && value === Number.POSITIVE_INFINITY) return [field, value];
    assertNumber(value, `${name}.${field}`, ...(ranges[field] ?? []));
    if (integers.includes(field)) assertInteger(value, `${name}.${field}`, ...(ranges[field] as [number, number]));
    return [field, value];
  });
  return Object.freeze(Object.fromEntries(values) as PlanRow);
}

const integers: readonly string[] = ['variance', 'calls', 'store'];
const ranges: { readonly [K in (typeof fields)[number]]?: [min: number, max?: number] } = {
  clip: [0],
  sigma: [0],
  variance: [0, 2],
  thresholdRatio: [0, 1],
  thresholdMax: [0],
  calls: [0, 1],
  store: [0, slotCount],
  langevin: [0],
};
