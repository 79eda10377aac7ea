import { halvesName, type Measurement, type Subject, testImages, trainingName } from './survey.ts';

/** A measurement of samples. */
export type CellMeasurement = Measurement & Required<Pick<Measurement, 'budget' | 'calls' | 'steps'>>;

/** The best cell of a survey, and the one to use: the cheapest that is not much worse. */
export interface Recommendation {
  readonly best: CellMeasurement;
  readonly cheapest: CellMeasurement;
}

/** How much further than the best the cheapest may be. */
const tolerance = 0.05;

/** The cheapest cell within 5% of the best, the nearer of two equally cheap ones. */
export function recommend(measurements: readonly Measurement[]): Recommendation | undefined {
  const cells = measurements.filter(isCell);
  if (cells.length === 0) return undefined;
  const nearest = (a: CellMeasurement, b: CellMeasurement) => a.distance - b.distance;
  const best = cells.toSorted(nearest)[0];
  const good = cells.filter(({ distance }) => distance <= (1 + tolerance) * best.distance);
  return { best, cheapest: good.toSorted((a, b) => a.calls - b.calls || nearest(a, b))[0] };
}

/**
 * A survey in Markdown: a row for each sampler, a column for each budget of calls, and below it what to compare with.
 * What is not measured shows as `?`, what cannot be done with so few calls as `-`.
 */
export function tableOf(subjects: readonly Subject[], measurements: readonly Measurement[]): string {
  const cells = subjects.filter(({ budget }) => budget !== undefined);
  const names = [...new Set(cells.map(({ name }) => name))];
  const budgets = [...new Set(cells.map(({ budget }) => budget))];
  const lines = [
    ['sampler', ...budgets.map((budget) => `${budget} calls`)],
    names.map(() => ''),
    ...names.map((name) => [
      name,
      ...budgets.map((budget) => {
        const at = (one: Omit<Measurement, 'distance' | 'standardError'>) => one.name === name && one.budget === budget;
        return cells.some(at) ? cellText(measurements.find(at)) : '-';
      }),
    ]),
  ];
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  lines[1] = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  const table = lines.map((line) => `| ${line.map((text, i) => pad(text, widths[i], i === 0)).join(' | ')} |`);
  return [...table, '', ...notesOf(subjects, measurements)].join('\n');
}

function cellText(measurement: Measurement | undefined): string {
  if (!measurement) return '?';
  const { calls, budget } = measurement;
  return distanceText(measurement) + (calls === budget ? '' : ` in ${calls}`);
}

function distanceText({ distance, standardError }: Measurement): string {
  return `${distance.toFixed(2)} ± ${standardError.toFixed(2)}`;
}

function pad(text: string, width: number, left: boolean): string {
  return left ? text.padEnd(width) : text.padStart(width);
}

function notesOf(subjects: readonly Subject[], measurements: readonly Measurement[]): string[] {
  const [count] = subjects.filter(({ budget }) => budget !== undefined).map(({ samples }) => samples);
  const about = `Frechet distance of ${thousands(count)} samples to ${thousands(testImages)} test images`;
  const real = [trainingName, halvesName].flatMap((name) => {
    const found = measurements.find((one) => one.name === name);
    return found ? `${thousands(found.samples)} ${name}: ${distanceText(found)}` : [];
  });
  const lines = [`${[`${about}, ± one standard error`, ...real].join('; ')}.`];
  const recommendation = recommend(measurements);
  if (!recommendation || measurements.length < subjects.length) return lines;
  const { best, cheapest } = recommendation;
  return [...lines, `The best is ${cellName(best)}; the cheapest within 5% of it is ${cellName(cheapest)}.`];
}

function cellName(cell: CellMeasurement): string {
  return `${cell.name} at ${cell.calls} calls (${distanceText(cell)})`;
}

function thousands(count: number): string {
  return count.toLocaleString('en');
}

function isCell(measurement: Measurement): measurement is CellMeasurement {
  return measurement.budget !== undefined;
}
