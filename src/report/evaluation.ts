import type { Estimate, Evaluation } from '../evaluate/types.ts';
import { type Html, html, page, picture } from './page.ts';
import { timestepPlot } from './plots.ts';
import { round } from './words.ts';

/** What a report shows besides the figures. */
export interface ReportContext {
  readonly model: string;
  readonly data: string;
  /** What was asked for, by name. */
  readonly settings: Readonly<Record<string, string | number>>;
  /** The command that gives the same figures again. */
  readonly command: string;
  /** What could not be read, each one line. */
  readonly problems: readonly string[];
  /** Pictures, as PNG: some of the data, and samples of the same classes. */
  readonly images?: Uint8Array;
  readonly samples?: Uint8Array;
}

/** An evaluation as one page of HTML that can be read offline. */
export async function evaluationReport(evaluation: Evaluation, context: ReportContext): Promise<string> {
  const { images, of, complete, calls, seconds } = evaluation;
  const { model, data, problems } = context;
  const done = of === undefined || of === images ? `${images} images` : `${images} of ${of} images`;
  return page(
    `${model} on ${data}`,
    html`<h1>${model} on ${data}</h1>
<p class="quiet">${done}, seed ${evaluation.seed}, ${calls} network calls in ${Math.round(seconds)} s. After ± stands one standard error.</p>
${!complete && html`<p class="warning">Partial: the evaluation was stopped before it was done.</p>`}
${problems.length > 0 && html`<p class="warning">${skipped(problems)}</p>`}
<section class="figures">${headlines(evaluation).map(card)}</section>
${await simpleSection(evaluation)}
${await boundSection(evaluation)}
${pictures(context)}
<h2>Settings</h2>
<div class="scroll"><table>${Object.entries(context.settings).map(([name, value]) => html`<tr><th>${name}</th><td>${value}</td></tr>`)}</table></div>
<pre>${context.command}</pre>`,
  );
}

/** One figure that a reader looks for first. */
export interface Headline {
  readonly name: string;
  readonly value: string;
  readonly unit?: string;
  readonly note: string;
}

/** The figures of an evaluation in the order of their weight, as text. */
export function headlines({ simple, vlb, likelihood, quality }: Evaluation): Headline[] {
  return [
    ...(likelihood
      ? [
          {
            name: 'likelihood',
            value: withError(likelihood.bitsPerDimension),
            unit: 'bits/dim',
            note: `probability-flow ODE, ${round(likelihood.calls.mean, 3)} network calls an image`,
          },
        ]
      : []),
    ...(vlb
      ? [{ name: 'variational bound', value: withError(vlb.total), unit: 'bits/dim', note: boundNote(vlb) }]
      : []),
    ...(simple
      ? [
          { name: 'noise error', value: withError(simple.noise), note: 'mean squared error of the noise' },
          { name: 'image error', value: withError(simple.start), note: 'the same of the finished image' },
        ]
      : []),
    ...(quality
      ? [
          {
            name: 'Frechet distance',
            value: `${round(quality.frechet.distance, 4)} ± ${round(quality.frechet.standardError, 2)}`,
            note: `of ${quality.samples} samples to ${quality.images} images, in the features`,
          },
          {
            name: 'kernel distance',
            value: `${round(quality.kernel.distance, 3)} ± ${round(quality.kernel.standardError, 2)}`,
            note: 'MMD² with a cubic kernel, in the features',
          },
          {
            name: 'precision, recall',
            value: `${quality.precision.toFixed(3)}, ${quality.recall.toFixed(3)}`,
            note: 'samples near data, data near samples',
          },
          ...(quality.memorization === undefined
            ? []
            : [
                {
                  name: 'nearer to training data',
                  value: `${(100 * quality.memorization.nearer).toFixed(1)} %`,
                  note: `of the samples than half of the images are, 50 % being as new; copies ${(100 * quality.memorization.copies).toFixed(1)} %`,
                },
              ]),
        ]
      : []),
  ];
}

/** A mean with its standard error, to the digits that the error leaves certain. */
export function withError({ mean, standardError }: Estimate): string {
  if (!Number.isFinite(standardError) || standardError === 0) return round(mean, 4);
  const digits = Math.min(Math.max(1 - Math.floor(Math.log10(standardError)), 0), 12);
  return `${mean.toFixed(digits)} ± ${standardError.toFixed(digits)}`;
}

function boundNote({ timesteps, chain }: NonNullable<Evaluation['vlb']>): string {
  return timesteps === chain ? `all ${chain} steps` : `${timesteps} of ${chain} steps an image, stratified`;
}

/** A figure in a frame. */
export function card({ name, value, unit, note }: Headline): Html {
  return html`<div><span>${name}</span><strong>${value} ${unit && html`<small>${unit}</small>`}</strong><span>${note}</span></div>`;
}

function skipped(problems: readonly string[]): string {
  const shown = problems.slice(0, 5).join('; ');
  const more = problems.length > 5 ? `; and ${problems.length - 5} more` : '';
  return `${problems.length} ${problems.length === 1 ? 'file was' : 'files were'} skipped: ${shown}${more}`;
}

async function simpleSection({ simple }: Evaluation): Promise<Html | undefined> {
  if (!simple) return undefined;
  const plot = await timestepPlot({ estimates: simple.byTimestep, label: 'squared error of the noise' });
  return html`<h2>Loss by timestep</h2>
<p class="quiet">The squared error of the predicted noise, averaged over pixels. Low timesteps are nearly clean images, whose little noise is hard to tell from detail.</p>
<div class="scroll">${plot}</div>
<div class="scroll"><table>
<tr><th>noise</th><td>${withError(simple.noise)}</td></tr>
<tr><th>finished image</th><td>${withError(simple.start)}</td></tr>
<tr><th>velocity</th><td>${withError(simple.velocity)}</td></tr>
<tr><th>noise, weighted by min(SNR, 5)/SNR</th><td>${withError(simple.minSnr)}</td></tr>
</table></div>`;
}

async function boundSection({ vlb }: Evaluation): Promise<Html | undefined> {
  if (!vlb) return undefined;
  const perStep = vlb.terms.map((term) => {
    return { ...term, mean: term.mean / term.steps, standardError: term.standardError / term.steps };
  });
  const plot = await timestepPlot({ estimates: perStep, label: 'bits per dimension, a step', logarithmic: true });
  return html`<h2>The bound by timestep</h2>
<p class="quiet">What each step of the chain costs, in bits per dimension on a logarithmic axis.</p>
<div class="scroll">${plot}</div>
<div class="scroll"><table>
<tr><th>prior: what is left of the image at the last step</th><td>${withError(vlb.prior)}</td></tr>
<tr><th>the steps between</th><td>${withError(sumOfTerms(vlb))}</td></tr>
<tr><th>reconstruction of the 8-bit image at the first step</th><td>${withError(vlb.reconstruction)}</td></tr>
<tr><th>total</th><td>${withError(vlb.total)}</td></tr>
</table></div>`;
}

function sumOfTerms({ total, prior, reconstruction }: NonNullable<Evaluation['vlb']>): Estimate {
  return { ...total, mean: total.mean - prior.mean - reconstruction.mean };
}

function pictures({ images, samples }: ReportContext): Html | undefined {
  if (!images && !samples) return undefined;
  return html`<h2>Samples beside data</h2>
<div class="pair">
${images && html`<figure><figcaption>data</figcaption>${picture(images, 'images of the data')}</figure>`}
${samples && html`<figure><figcaption>samples</figcaption>${picture(samples, 'samples of the model')}</figure>`}
</div>`;
}
