import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Measurement } from './survey.ts';

/** Where measurements are recorded unless told otherwise. */
const resultsFile = fileURLToPath(new URL('../quality.json', import.meta.url));

/** The measurements in a file; none where there is no file. */
export function readResults(file = resultsFile): Measurement[] {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
}

/** Puts a measurement in the place of the one that it is newer than, or at the end. */
export function recordResult(measurement: Measurement, file = resultsFile): void {
  const rounded = {
    ...measurement,
    distance: Number(measurement.distance.toFixed(4)),
    standardError: Number(measurement.standardError.toFixed(4)),
  };
  const others = readResults(file).filter((other) => placeOf(other) !== placeOf(measurement));
  const sorted = [...others, rounded].sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  // a rename is whole or not at all
  const beside = `${file}.${process.pid}`;
  writeFileSync(beside, `${JSON.stringify(sorted, null, 2)}\n`);
  renameSync(beside, file);
}

function placeOf({ samples, budget = 0, name }: Measurement): string {
  return [samples, budget, name].map((part) => String(part).padStart(6, '0')).join(' ');
}
