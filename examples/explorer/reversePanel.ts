// (c) The row of the plan that the sampling panel is at, beside the posterior of the forward process.
import { alphaCumprodAt, type PlanRow } from 'ddpm-wasm';
import { html, LitElement, mathml } from 'lit';
import { slider } from './controls.ts';
import { type Current, current, lookAt, rowOf } from './current.ts';
import { schedule } from './model.ts';
import { figure, short } from './numbers.ts';
import type { Draw } from './plot.ts';

/** What earlier rows kept. */
const slots = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'] as const;

export class ReversePanel extends LitElement {
  readonly #current = current.watch(this);

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    const now = this.#current.value;
    if (!now) return '';
    const { plan, call } = now;
    const { index, row } = rowOf(now);
    const next = plan.timesteps[call + 1];
    return html`
      ${slider(
        'Row',
        call + 1,
        { min: 1, max: plan.calls },
        {
          shown: `${index + 1} of ${plan.rows.length}`,
          set: (value) => lookAt(value - 1),
        },
      )}
      <p>
        <code>${plan.sampler}</code> goes from t = ${figure(row.timestep)}
        ${next === undefined ? 'to the image.' : html`to s = ${figure(next)}.`}
        ${plan.timesteps.length < plan.rows.length ? 'Rows between these call no network.' : ''}
      </p>
      ${formula(row)}
      <div class="columns">
        ${comparison(row, posteriorOf(now))}
        <plot-view .draw=${weightPlot(now)} .caption=${'The weights over the run'}
          label=${`The weights of the state and of the estimate, and sigma, over ${plan.calls} rows. This row: ${short(throughStart(row).x)}, ${short(throughStart(row).start)} and ${short(row.sigma)}.`}>
        </plot-view>
      </div>
      <details>
        <summary>The row, number by number</summary>
        <div class="scroll" tabindex="0" role="region" aria-label="Numbers of the row">${rowTable(row)}</div>
      </details>
    `;
  }
}

/** A row's weights for x and the estimate, the network's answer written as (start - a x) / b, as it is without clipping. */
function throughStart(row: PlanRow): { readonly x: number; readonly start: number } {
  const share = row.b === 0 ? 0 : row.model / row.b;
  return { x: row.x - share * row.a, start: row.start + share };
}

/** The weights of q(x_s given x_t, x_0), eq. 7 of Ho et al. 2020 between timesteps that lie further apart. */
function posteriorOf({ plan, call }: Current): { x: number; start: number; sigma: number } {
  const at = alphaCumprodAt(schedule, plan.timesteps[call]);
  const next = plan.timesteps[call + 1];
  const after = next === undefined ? 1 : alphaCumprodAt(schedule, next);
  const alpha = at / after;
  const rest = 1 - at;
  return {
    x: (Math.sqrt(alpha) * (1 - after)) / rest,
    start: (Math.sqrt(after) * (1 - alpha)) / rest,
    sigma: Math.sqrt(((1 - after) / rest) * (1 - alpha)),
  };
}

/** The row as the two equations that it stands for, with its numbers. */
function formula(row: PlanRow) {
  const terms = [
    [row.x, mathml`<msub><mi>x</mi><mi>t</mi></msub>`],
    [row.model, mathml`<mi mathvariant="normal">model</mi>`],
    [row.start, mathml`<msub><mover><mi>x</mi><mo>^</mo></mover><mn>0</mn></msub>`],
    ...slots.map((slot, i) => [row[slot], mathml`<msub><mi>h</mi><mn>${i + 1}</mn></msub>`] as const),
    [row.sigma, mathml`<mi>z</mi>`],
  ] as const;
  const shown = terms.filter(([weight]) => weight !== 0);
  const clipped = Number.isFinite(row.clip);
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="The row as equations">
      <math display="block">
        <msub><mover><mi>x</mi><mo>^</mo></mover><mn>0</mn></msub><mo>=</mo>
        ${clipped ? mathml`<mi mathvariant="normal">clamp</mi><mo>(</mo>` : ''}
        ${signed(row.a, true)}<mspace width="0.15em"></mspace><msub><mi>x</mi><mi>t</mi></msub>
        ${signed(row.b)}<mspace width="0.15em"></mspace><mi mathvariant="normal">model</mi>
        ${clipped ? mathml`<mo>,</mo><mo>±</mo><mn>${row.clip}</mn><mo>)</mo>` : ''}
      </math>
      <math display="block">
        <msub><mi>x</mi><mi>s</mi></msub><mo>=</mo>
        ${shown.map(([weight, name], i) => mathml`${signed(weight, i === 0)}<mspace width="0.15em"></mspace>${name}`)}
      </math>
    </div>
  `;
}

function signed(weight: number, first = false) {
  const sign = weight < 0 ? '−' : first ? '' : '+';
  return mathml`<mo>${sign}</mo><mn>${short(Math.abs(weight))}</mn>`;
}

function comparison(row: PlanRow, posterior: ReturnType<typeof posteriorOf>) {
  const written = throughStart(row);
  const lines = [
    ['of the state, xₜ', written.x, posterior.x],
    ['of the estimate, x̂₀', written.start, posterior.start],
    ...slots.filter((slot) => row[slot] !== 0).map((slot) => [`of ${slot}, kept earlier`, row[slot], 0] as const),
    ['σ, of fresh noise', row.sigma, posterior.sigma],
  ] as const;
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="Row and posterior">
      <table id="row-and-posterior">
        <caption>The row beside the posterior</caption>
        <thead>
          <tr><th scope="col">Weight</th><th scope="col">This row</th><th scope="col">q(xₛ | xₜ, x₀)</th></tr>
        </thead>
        <tbody>
          ${lines.map(([name, ours, theirs]) => html`<tr><th scope="row">${name}</th><td>${figure(ours)}</td><td>${figure(theirs)}</td></tr>`)}
        </tbody>
      </table>
    </div>
  `;
}

function rowTable(row: PlanRow) {
  return html`
    <table id="row">
      <tbody>
        ${Object.entries(row).map(([name, value]) => html`<tr><th scope="row"><code>${name}</code></th><td>${figure(value, 7)}</td></tr>`)}
      </tbody>
    </table>
  `;
}

function weightPlot(now: Current): Draw {
  const { plan } = now;
  const rows = plan.rows.filter((row) => row.calls > 0);
  const points = rows.flatMap((row, i) => {
    const { x, start } = throughStart(row);
    return [
      { call: i + 1, weight: x, of: 'state' },
      { call: i + 1, weight: start, of: 'estimate' },
      { call: i + 1, weight: row.sigma, of: 'σ' },
    ];
  });
  return (plot) => ({
    height: 240,
    x: { label: 'row', ticks: 5, tickFormat: 'd' },
    y: { label: null, grid: true, nice: true },
    color: { domain: ['state', 'estimate', 'σ'], range: ['var(--c0)', 'var(--c1)', 'var(--c2)'], legend: true },
    marks: [
      plot.ruleX([now.call + 1], { stroke: 'currentColor', strokeOpacity: 0.5 }),
      plot.lineY(points, { x: 'call', y: 'weight', stroke: 'of', strokeWidth: 2 }),
      plot.dot(
        points.filter(({ call }) => call === now.call + 1),
        { x: 'call', y: 'weight', fill: 'of', r: 4 },
      ),
    ],
  });
}
