import type { Estimate } from '../evaluate/types.ts';
import { type Curve, curvePlot, legend } from './curves.ts';
import { card, type Headline, withError } from './evaluation.ts';
import { type Html, html, page, picture } from './page.ts';
import { duration, round, shortCount } from './words.ts';

/** A training run as its report shows it, at any moment. */
export interface TrainingReport {
  readonly name: string;
  readonly state: 'running' | 'complete' | 'interrupted' | 'failed';
  /** Why it failed. */
  readonly message?: string;
  readonly step: number;
  /** All that are to be done, where they end the run. */
  readonly steps?: number;
  /** How much is done, 0 to 1. */
  readonly progress: number;
  readonly seconds: number;
  readonly secondsLeft?: number;
  readonly parameters: number;
  readonly records: readonly TrainingRecord[];
  readonly evaluations: readonly { readonly step: number; readonly heldOut: Estimate }[];
  /** Sheets of samples as PNG, oldest first; those between may be left out. */
  readonly sheets: readonly { readonly step: number; readonly png: Uint8Array }[];
  /** What was assumed, ignored or passed over; each one line. */
  readonly notes: readonly string[];
  /** What the run is, by name. */
  readonly settings: Readonly<Record<string, string | number>>;
  readonly config: object;
  /** What to type next. */
  readonly commands: readonly string[];
  readonly written: Date;
}

/** Means over some steps. */
export interface TrainingRecord {
  readonly step: number;
  readonly loss: number;
  readonly error: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
}

/** How often the page of a run that goes on loads itself again, in seconds. */
const refresh = 10;

/** A training run as one page of HTML that can be read offline. */
export async function trainingReport(report: TrainingReport): Promise<string> {
  const { name, state, message, step, steps, progress, notes, settings, config, commands } = report;
  const of = steps === undefined ? '' : ` of ${steps}`;
  return page(
    `${name}: ${state === 'running' ? `${Math.floor(100 * progress)} %` : state}`,
    html`<h1>${name}</h1>
<p class="quiet">Step ${step}${of}, ${state}. Written ${report.written.toISOString().slice(0, 19).replace('T', ' ')} UTC.</p>
<div class="bar"><div style="width: ${(100 * progress).toFixed(1)}%"></div></div>
${message !== undefined && html`<p class="warning">${message}</p>`}
${notes.map((note) => html`<p class="quiet">${note}</p>`)}
<section class="figures">${headlines(report).map(card)}</section>
${await lossSection(report)}
${sheetSection(report)}
${await courseSection(report)}
<h2>Settings</h2>
<div class="scroll"><table>${Object.entries(settings).map(([key, value]) => html`<tr><th>${key}</th><td>${value}</td></tr>`)}</table></div>
<details><summary>The whole config</summary><pre>${JSON.stringify(config, null, 2)}</pre></details>
<h2>Going on</h2>
<pre>${commands.join('\n')}</pre>`,
    state === 'running' ? { refresh } : {},
  );
}

function headlines({ state, records, evaluations, seconds, secondsLeft, parameters }: TrainingReport): Headline[] {
  const record = records.at(-1);
  const evaluation = evaluations.at(-1);
  const best = evaluations.reduce((a, b) => (b.heldOut.mean < a.heldOut.mean ? b : a), evaluations[0]);
  const left = secondsLeft === undefined ? 'so far' : `${duration(secondsLeft)} left`;
  const [mean, error] = evaluation ? withError(evaluation.heldOut).split(' ± ') : [];
  return [
    ...(record ? [{ name: 'loss', value: round(record.loss, 4), note: 'of the last steps, on training images' }] : []),
    ...(evaluation
      ? [
          {
            name: 'held-out error',
            value: mean,
            unit: error && `± ${error}`,
            note: best === evaluation ? 'the best so far' : `best ${withError(best.heldOut)} at step ${best.step}`,
          },
        ]
      : []),
    ...(record
      ? [{ name: 'speed', value: round(record.imagesPerSecond, 3), unit: 'images/s', note: 'trained on' }]
      : []),
    { name: 'time', value: duration(seconds), note: state === 'running' ? left : 'in all' },
    { name: 'parameters', value: shortCount(parameters), note: 'trained' },
  ];
}

async function lossSection(report: TrainingReport): Promise<Html | undefined> {
  const curves = lossCurves(report);
  if (curves.length === 0) return undefined;
  const plot = (width: number, height: number) => curvePlot({ curves, width, height, logarithmic: true });
  return html`<h2>Loss</h2>
${legend(curves)}
<div class="wide">${await plot(952, 340)}</div>
<div class="narrow">${await plot(360, 280)}</div>
${report.evaluations.length > 0 && html`<p class="quiet">Held out are images that it does not train on; their error is that of the predicted noise, with the moving average of the parameters, and the band is two standard errors.</p>`}`;
}

function lossCurves({ records, evaluations }: TrainingReport): Curve[] {
  const curve = (key: 'loss' | 'error') => records.map((record) => ({ step: record.step, value: record[key] }));
  // without weights and a bound they are the same numbers
  const differ = records.some(({ loss, error }) => Math.abs(loss - error) > 1e-3 * error);
  return [
    { name: 'loss', colour: 'var(--mark)', points: curve('loss'), noisy: true },
    { name: 'error of the prediction', colour: 'var(--second)', points: differ ? curve('error') : [], noisy: true },
    {
      name: 'held-out error',
      colour: 'var(--third)',
      points: evaluations.map(({ step, heldOut }) => {
        return { step, value: heldOut.mean, standardError: heldOut.standardError };
      }),
    },
  ].filter(({ points }) => points.length > 0);
}

function sheetSection({ sheets }: TrainingReport): Html | undefined {
  const latest = sheets.at(-1);
  if (!latest) return undefined;
  const earlier = sheets.slice(0, -1);
  const sheet = ({ step, png }: (typeof sheets)[number]) =>
    html`<figcaption>step ${step}</figcaption>${picture(png, `samples after ${step} steps`)}`;
  return html`<h2>Samples</h2>
<figure class="sheet">${sheet(latest)}</figure>
${earlier.length > 0 && html`<div class="strip">${earlier.map((one) => html`<figure>${sheet(one)}</figure>`)}</div>`}
<p class="quiet">Always of the same noise, so that what changes is the network.</p>`;
}

async function courseSection({ records }: TrainingReport): Promise<Html | undefined> {
  if (records.length === 0) return undefined;
  const plots = await Promise.all(
    courses.map(async ({ name, key, logarithmic, noisy }) => {
      const points = records.map((record) => ({ step: record.step, value: record[key] }));
      const curves = [{ name, colour: 'var(--mark)', points, noisy }];
      return html`<figure><figcaption>${name}</figcaption>${await curvePlot({ curves, width: 320, height: 200, logarithmic })}</figure>`;
    }),
  );
  return html`<h2>Course</h2>
<div class="trio">${plots}</div>`;
}

const courses = [
  { name: 'learning rate', key: 'learningRate', logarithmic: false, noisy: false },
  { name: 'norm of the gradient', key: 'gradientNorm', logarithmic: true, noisy: true },
  { name: 'images a second', key: 'imagesPerSecond', logarithmic: false, noisy: true },
] as const;
