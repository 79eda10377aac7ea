// What the model card of models/fashion says of the 10,000 test images: its losses, the bound, and the likelihood for two
// seeds. The images are done in parts; what is recorded is not measured again, and an interrupted run goes on.
//   nice npx tsx bench/card.ts [simple | bound | likelihood0 | likelihood1 | table] [minutes]
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openDataset } from '../src/data/index.ts';
import { type Estimate, type EvaluateOptions, type Evaluation, loadPipeline } from '../src/index.ts';
import { withError } from '../src/report/evaluation.ts';

const images = fileURLToPath(new URL('../../shared/data/fashion-mnist/t10k-images-idx3-ubyte.gz', import.meta.url));
const record = fileURLToPath(new URL('card.json', import.meta.url));
const all = 10_000;

type Figures = Record<string, Estimate>;
interface Part {
  readonly first: number;
  readonly count: number;
  readonly figures: Figures;
}
type Recorded = Partial<Record<keyof typeof jobs, Part[]>>;

const jobs = {
  simple: {
    size: 1000,
    options: { metrics: ['simple'] },
    figures: ({ simple }) => ({ 'error of the noise': simple!.noise, 'error of the image': simple!.start }),
  },
  bound: {
    size: 250,
    options: { metrics: ['vlb'] },
    figures: ({ vlb }) => ({
      'bound, bits/dim': vlb!.total,
      'of which reconstruction': vlb!.reconstruction,
    }),
  },
  likelihood0: likelihoodJob(0),
  likelihood1: likelihoodJob(1),
} satisfies Record<string, Job>;

interface Job {
  /** Images a part. */
  readonly size: number;
  readonly options: EvaluateOptions;
  figures(evaluation: Evaluation): Figures;
}

function likelihoodJob(seed: number): Job {
  return {
    size: 100,
    options: { metrics: ['likelihood'], tolerance: 1e-4, seed },
    figures: ({ likelihood }) => ({
      'likelihood, bits/dim': likelihood!.bitsPerDimension,
      'network calls an image': likelihood!.calls,
    }),
  };
}

/** Measures what is missing of a job, part by part, for so many minutes. */
async function measure(name: keyof typeof jobs, minutes: number): Promise<void> {
  const { size, options, figures }: Job = jobs[name];
  const end = performance.now() + 60_000 * minutes;
  const pipeline = await loadPipeline('fashion', { device: 'cpu', batch: 64 });
  try {
    for (let first = 0; first < all && performance.now() < end; first += size) {
      if (read()[name]?.some((part) => part.first <= first && first < part.first + part.count)) continue;
      const data = await openDataset(images, { shape: pipeline.model.shape, first, batch: size });
      const evaluation = await pipeline.evaluate(data, { ...options, first, count: size, batch: Math.min(size, 250) });
      write(name, { first, count: size, figures: figures(evaluation) });
      console.error(`${name}: ${first + size} of ${all} images`);
    }
  } finally {
    await pipeline.dispose();
  }
}

/** The parts of a job as one: means and standard errors over all their images. */
function pooled(parts: readonly Part[]): Figures {
  const names = Object.keys(parts[0].figures);
  return Object.fromEntries(
    names.map((name) => {
      const each = parts.map(({ figures }) => figures[name]);
      const count = each.reduce((sum, one) => sum + one.count, 0);
      const mean = each.reduce((sum, one) => sum + one.count * one.mean, 0) / count;
      // the sum of squares about the whole's mean, of those about the parts' means
      const squares = each.reduce((sum, { count: n, mean: m, standardError: e }) => {
        return sum + n * (n - 1) * e ** 2 + n * (m - mean) ** 2;
      }, 0);
      return [name, { mean, standardError: Math.sqrt(squares / (count - 1) / count), count }];
    }),
  );
}

function printTable(): void {
  console.log('| figure | seed | images | value |\n| --- | --- | ---: | ---: |');
  for (const [name, parts] of Object.entries(read())) {
    const seed = (jobs[name as keyof typeof jobs].options as EvaluateOptions).seed ?? 0;
    for (const [figure, estimate] of Object.entries(pooled(parts)))
      console.log(`| ${figure} | ${seed} | ${estimate.count} | ${withError(estimate)} |`);
  }
}

/** What the two seeds say of the images that both have done. */
function printSeeds(): void {
  const { likelihood0 = [], likelihood1 = [] } = read();
  const both = (parts: readonly Part[], others: readonly Part[]) =>
    parts.filter(({ first }) => others.some((other) => other.first === first));
  const [a, b] = [both(likelihood0, likelihood1), both(likelihood1, likelihood0)].map((parts) =>
    parts.length > 0 ? pooled(parts)['likelihood, bits/dim'] : undefined,
  );
  if (a && b)
    console.log(`\nSeeds 0 and 1 on the same ${a.count} images: ${withError(a)} and ${withError(b)} bits/dim.`);
}

function read(): Recorded {
  return existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')) : {};
}

function write(name: keyof typeof jobs, part: Part): void {
  const recorded = read();
  const others = (recorded[name] ?? []).filter(({ first }) => first !== part.first);
  const parts = [...others, part].sort((a, b) => a.first - b.first);
  // a rename is whole or not at all
  const beside = `${record}.${process.pid}`;
  writeFileSync(beside, `${JSON.stringify({ ...recorded, [name]: parts }, null, 2)}\n`);
  renameSync(beside, record);
}

const [asked = 'table', minutes = 'Infinity'] = process.argv.slice(2);
if (asked in jobs) await measure(asked as keyof typeof jobs, Number(minutes));
else if (asked !== 'table') throw new Error(`expected ${Object.keys(jobs).join(', ')} or table, got ${asked}`);
printTable();
printSeeds();
