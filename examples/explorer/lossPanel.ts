// (f) How well the network predicts, by timestep, on the pictures.
import type { Estimate, Evaluation, TimestepEstimate } from 'ddpm-wasm';
import { html, LitElement, type TemplateResult } from 'lit';
import { Address, choice, number } from './address.ts';
import { maxSeed, seedField, segments, select } from './controls.ts';
import { stack, toBytes } from './images.ts';
import { Job } from './job.ts';
import { classes, imageShape, pipeline, schedule } from './model.ts';
import { figure, short } from './numbers.ts';
import type { Draw } from './plot.ts';
import { shelf } from './shelf.ts';

type Measure = 'simple' | 'vlb';
const measures = [
  ['simple', html`L<sub>simple</sub>`],
  ['vlb', 'the bound'],
] as const;
const noClass = 'no class';

export class LossPanel extends LitElement {
  readonly #address = new Address(
    this,
    'loss',
    {
      measure: choice<Measure>('simple', ['simple', 'vlb']),
      class: choice(noClass, [noClass, ...classes]),
      seed: number(0, 0, maxSeed),
    },
    () => {
      this.#job.stop();
      this.#found = undefined;
    },
  );
  readonly #job = new Job(this);
  #found: Evaluation | undefined;

  constructor() {
    super();
    shelf.watch(this);
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    const { measure, class: chosen, seed } = this.#address.values;
    const count = shelf.value.length;
    const { set } = this.#address;
    return html`
      <div class="controls">
        ${segments('What to measure', measure, measures, (value) => set({ measure: value }))}
        ${select('Class told to the network', chosen, [noClass, ...classes], (value) => set({ class: value }))}
        ${seedField(seed, (value) => set({ seed: value }))}
      </div>
      ${this.#job.render(`Measure on ${count} ${count === 1 ? 'picture' : 'pictures'}`, this.#run, { disabled: count === 0 })}
      ${this.#results(measure)}
    `;
  }

  #results(measure: Measure) {
    const { simple, vlb } = this.#found ?? {};
    const estimates = measure === 'simple' ? simple?.byTimestep : vlb?.terms;
    const captions = {
      simple: 'Squared error of the noise, mean by timestep ± 2 standard errors',
      vlb: 'Terms of the bound, bits per dimension by range of timesteps',
    };
    const total = measure === 'simple' ? simple?.noise : vlb?.total;
    return html`
      <plot-view .draw=${lossPlot(estimates ?? [])} .caption=${captions[measure]}
        label=${total ? `In all ${short(total.mean)}; by timestep in the table below` : 'Nothing measured yet'}>
      </plot-view>
      <dl class="numbers" id="loss-numbers">
        ${
          measure === 'simple'
            ? [
                numberOf('error of the noise', simple?.noise),
                numberOf('of the image', simple?.start),
                numberOf('of the velocity', simple?.velocity),
              ]
            : [
                numberOf('bound, bits/dim', vlb?.total),
                numberOf(html`prior, L<sub>T</sub>`, vlb?.prior),
                numberOf(html`reconstruction, L<sub>0</sub>`, vlb?.reconstruction),
              ]
        }
      </dl>
      <details>
        <summary>By timestep, number by number</summary>
        <div class="scroll" tabindex="0" role="region" aria-label="Losses by timestep">
          <table id="loss-table">
            <thead><tr><th scope="col">t</th><th scope="col">Mean</th><th scope="col">Standard error</th></tr></thead>
            <tbody>
              ${estimates?.map(({ from, to, mean, standardError }) => html`<tr><th scope="row">${from}–${to}</th><td>${figure(mean)}</td><td>${figure(standardError)}</td></tr>`)}
            </tbody>
          </table>
        </div>
      </details>
    `;
  }

  readonly #run = (): Promise<void> =>
    this.#job.start(async (signal, say) => {
      const network = await pipeline;
      const { measure, class: chosen, seed } = this.#address.values;
      const all = stack(shelf.value.map(({ image }) => image));
      const images = [{ data: toBytes(all), shape: [all.shape[0], ...imageShape] }];
      const label = chosen === noClass ? undefined : classes.indexOf(chosen);
      // small batches are worse for speed and better to watch
      const options = {
        metrics: [measure],
        class: label,
        seed,
        batch: 4,
        timestepsPerImage: 20,
        boundTimesteps: 20,
        signal,
      };
      for await (const found of network.evaluations(images, options)) {
        this.#found = found;
        say('Measuring…', found.progress);
      }
      const { calls, seconds } = this.#found!;
      return `Done: ${calls} predictions in ${seconds.toFixed(1)} s.`;
    });
}

function numberOf(name: string | TemplateResult, estimate: Estimate | undefined) {
  const error =
    estimate && Number.isFinite(estimate.standardError)
      ? html` <small>± ${short(estimate.standardError, 2)}</small>`
      : '';
  return html`<div><dt>${name}</dt><dd>${estimate ? figure(estimate.mean) : '–'}${error}</dd></div>`;
}

function lossPlot(estimates: readonly TimestepEstimate[]): Draw {
  const points = estimates
    .filter(({ mean }) => mean > 0)
    .map(({ from, to, mean, standardError }) => {
      const error = Number.isFinite(standardError) ? 2 * standardError : 0;
      // a band that reaches below zero has no place on a logarithmic axis
      return { t: (from + to) / 2, mean, low: Math.max(mean - error, mean / 4), high: mean + error };
    });
  const [low, high] = [Math.min(...points.map(({ low }) => low)), Math.max(...points.map(({ high }) => high))];
  // whole decades, and no lines between them
  const decades = points.length === 0 ? [-4, 0] : [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const ticks = Array.from({ length: decades[1] - decades[0] + 1 }, (_, i) => 10 ** (decades[0] + i));
  return (plot) => ({
    height: 260,
    marginLeft: 56,
    x: { label: 't', domain: [0, schedule.trainTimesteps], ticks: 5 },
    y: { label: null, grid: true, type: 'log', ticks, tickFormat: '~g', domain: [ticks[0], ticks[ticks.length - 1]] },
    marks: [
      plot.areaY(points, { x: 't', y1: 'low', y2: 'high', fill: 'var(--c0)', fillOpacity: 0.2 }),
      plot.lineY(points, { x: 't', y: 'mean', stroke: 'var(--c0)', strokeWidth: 2 }),
      plot.dot(points, { x: 't', y: 'mean', fill: 'var(--c0)', r: 3 }),
    ],
  });
}
