// How good the samples of each sampler are against the network calls that they take. What was measured before is not
// measured again, and an interrupted run goes on where it stopped.
//   npx tsx bench/quality.ts --help
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Command } from 'commander';
import { number, numbers } from '../src/cli/flags.ts';
import { wrongValue } from '../src/core/errors.ts';
import { type Entrant, entrants } from './quality/entrants.ts';
import { missingFile, openLab } from './quality/lab.ts';
import { drawPicture } from './quality/picture.ts';
import { readResults, recordResult } from './quality/results.ts';
import { type Measurement, type Subject, settle, subjectsOf } from './quality/survey.ts';
import { tableOf } from './quality/table.ts';

interface Flags {
  samples: number;
  calls: number[];
  only?: string;
  seconds?: number;
  table?: boolean;
  picture?: string;
  cache?: string;
  results?: string;
}

const defaults = { samples: 5000, calls: [5, 10, 20, 50] };
const command = 'npx tsx bench/quality.ts';
// of the bundled model on two CPU cores
const secondsPerCall = 0.0024;

/** Prints the comparison from what is recorded, what lies in the cache, and what `seconds` are enough to measure. */
export async function printQuality({ seconds }: { readonly seconds: number }): Promise<void> {
  const missing = missingFile();
  if (missing) return console.log(`samplers are not compared: ${missing} is not there`);
  const signal = AbortSignal.timeout(1000 * seconds);
  await survey({ ...defaults, entrants }, { signal, record: false });
}

function qualityCommand(): Command {
  return new Command('quality')
    .description('Frechet distance of samples of models/fashion to test images, by sampler and network calls.')
    .option('--samples <n>', 'images a cell', number('--samples'), defaults.samples)
    .option('--calls <list>', 'network calls that an image may take', numbers('--calls'), defaults.calls)
    .option('--only <list>', 'samplers whose name contains one of these words')
    .option('--seconds <n>', 'measure for so long at most', number('--seconds'))
    .option('--table', 'measure nothing: print what is recorded or lies in the cache')
    .option('--picture <file.png>', 'draw the same seeds by every sampler instead, at the first of --calls or 10')
    .option('--cache <folder>', 'where the features of images are kept (default: bench/.cache/quality)')
    .option('--results <file.json>', 'where measurements are recorded (default: bench/quality.json)')
    .addHelpText('after', `\nExample:\n  $ ${command} --only "eta 1" --calls 5,10 --samples 1000`)
    .action((flags: Flags, self: Command) => run(flags, self.getOptionValueSource('calls') !== 'default'));
}

async function run(flags: Flags, callsGiven: boolean): Promise<void> {
  const chosen = chooseEntrants(flags.only);
  if (flags.picture) return picture(flags.picture, { entrants: chosen, calls: callsGiven ? flags.calls[0] : 10 });
  const seconds = flags.table ? 0 : flags.seconds;
  const signal = seconds === undefined ? undefined : timeout(seconds);
  await survey({ ...flags, entrants: chosen }, { signal, record: true });
}

type SurveyFlags = Omit<Flags, 'seconds' | 'table' | 'picture'> & { readonly entrants: readonly Entrant[] };

async function survey(flags: SurveyFlags, how: { signal?: AbortSignal; record: boolean }): Promise<void> {
  const { samples, calls: budgets, cache, results } = flags;
  const lab = await openLab({ cache });
  try {
    const subjects = await subjectsOf(lab, { entrants: flags.entrants, budgets, samples });
    const measurements = await settle(subjects, {
      recorded: readResults(results),
      signal: how.signal,
      onMeasured(measurement, seconds) {
        console.error(`${titleOf(measurement)}: ${measurement.distance.toFixed(2)} (${seconds.toFixed(0)} s)`);
        if (how.record) recordResult(measurement, results);
      },
    });
    console.log(tableOf(subjects, measurements));
    printMissing(subjects, measurements, flags);
  } finally {
    await lab.dispose();
  }
}

/** How to get what the table lacks. */
function printMissing(
  subjects: readonly Subject[],
  measurements: readonly Measurement[],
  { samples, calls, only }: SurveyFlags,
): void {
  const missing = subjects.filter(({ key }) => !measurements.some((one) => one.key === key));
  if (missing.length === 0) return;
  const work = missing.reduce((sum, one) => sum + (one.calls ?? 0) * one.samples, 0);
  const minutes = Math.ceil((work * secondsPerCall) / 60);
  const flags = [
    ...(samples === defaults.samples ? [] : ['--samples', samples]),
    ...(calls.join() === defaults.calls.join() ? [] : ['--calls', calls.join()]),
    ...(only === undefined ? [] : ['--only', JSON.stringify(only)]),
  ];
  const what = `${missing.length} of ${subjects.length} distances are not measured`;
  const time = `about ${minutes} minutes on two cores, less what the cache has`;
  console.log(`\n${what} (${time}): ${[command, ...flags].join(' ')}`);
}

async function picture(file: string, options: Parameters<typeof drawPicture>[1]): Promise<void> {
  const lab = await openLab();
  try {
    const { png, rows } = await drawPicture(lab.pipeline, options);
    writeFileSync(file, png);
    console.log(`${file}: at ${options.calls} calls, from the top: ${rows.join(', ')}`);
  } finally {
    await lab.dispose();
  }
}

function chooseEntrants(only: string | undefined): readonly Entrant[] {
  if (only === undefined) return entrants;
  const chosen = entrants.filter(({ name }) => only.split(',').some((word) => name.includes(word)));
  if (chosen.length === 0)
    throw wrongValue('only', `part of one of ${entrants.map(({ name }) => name).join(', ')}`, only);
  return chosen;
}

function timeout(seconds: number): AbortSignal {
  return seconds > 0 ? AbortSignal.timeout(1000 * seconds) : AbortSignal.abort();
}

function titleOf({ name, budget }: Measurement): string {
  return budget === undefined ? name : `${name} at ${budget} calls`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await qualityCommand().parseAsync();
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
