// (b) The forward process on a picture, and what each beta schedule makes of it.
import { addNoise, type BetaSchedule, randn, type Schedule } from 'ddpm-wasm';
import { html, LitElement } from 'lit';
import { Address, choice, number } from './address.ts';
import { maxSeed, seedField, segments, slider } from './controls.ts';
import { picture } from './images.ts';
import { engine, imageShape, schedule, scheduleOf } from './model.ts';
import { figure, short } from './numbers.ts';
import type { Draw } from './plot.ts';
import { picker, pictureOf, shelf } from './shelf.ts';

const names: readonly BetaSchedule[] = ['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace', 'exp'];
const trained = schedule.config.betaSchedule;
const schedules = new Map(names.map((name) => [name, scheduleOf(name)]));
const colourOf = (name: BetaSchedule) => `var(--c${names.indexOf(name)})`;
const last = schedule.trainTimesteps - 1;

/** Pixels whose densities are drawn. */
const densities = [
  [-1, 'black', 'var(--c0)'],
  [0, 'grey', 'var(--c3)'],
  [1, 'white', 'var(--c1)'],
] as const;

/** What the curves show of a schedule at a timestep. */
const quantities = {
  beta: { caption: 'βₜ, the variance that step t adds', of: ({ betas }: Schedule, t: number) => betas[t] },
  kept: {
    caption: 'ᾱₜ, the share of the picture’s variance',
    of: ({ alphasCumprod }: Schedule, t: number) => alphasCumprod[t],
  },
  snr: { caption: 'log₁₀ SNR, of ᾱₜ / (1 − ᾱₜ)', of: ({ logSnr }: Schedule, t: number) => logSnr[t] / Math.LN10 },
} as const;

export class ForwardPanel extends LitElement {
  readonly #address = new Address(this, 'forward', {
    t: number(300, 0, last),
    schedule: choice(trained, names),
    seed: number(1, 0, maxSeed),
  });
  #chosen: number | undefined;

  constructor() {
    super();
    shelf.watch(this);
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    const { t, schedule: name, seed } = this.#address.values;
    const { set } = this.#address;
    const chosen = pictureOf(this.#chosen);
    const noise = randn(engine, [1, ...imageShape], { seed });
    const used = schedules.get(name)!;
    const noised = chosen && addNoise(used, chosen.image, t, noise);
    return html`
      ${picker('Picture to noise', chosen, ({ id }) => {
        this.#chosen = id;
        this.requestUpdate();
      })}
      ${slider('Timestep t', t, { min: 0, max: last }, { set: (value) => set({ t: value }) })}
      <div class="controls">
        ${segments('β schedule', name, names.map(legendOf), (value) => set({ schedule: value }))}
        ${seedField(seed, (value) => set({ seed: value }))}
      </div>
      <div class="trio">
        ${picture(chosen?.image, 'The picture', html`<b>x₀</b>, the picture`)}
        ${picture(noise, 'The noise', html`<b>ε</b>, the noise`)}
        ${picture(noised, `The picture after ${t + 1} steps of noise`, html`<b>xₜ</b> at t = ${t}`, 'forward-state')}
      </div>
      ${numbers(used, t)}
      <div class="columns">
        <plot-view .draw=${densityPlot(used, t)} .caption=${html`q(xₜ | x₀) of a ${densities.map(([, name, colour], i) => html`${['', ', a ', ' and a '][i]}<b style=${`color: ${colour}`}>${name}</b>`)} pixel`}
          label=${`Three normal distributions with standard deviation ${short(Math.sqrt(1 - used.alphasCumprod[t]))} around −${short(Math.sqrt(used.alphasCumprod[t]))}, 0 and ${short(Math.sqrt(used.alphasCumprod[t]))}`}>
        </plot-view>
        ${Object.values(quantities).map(
          (quantity) => html`
            <plot-view .draw=${schedulePlot(quantity.of, name, t)} .caption=${quantity.caption}
              label=${`By timestep for six schedules; ${name} is ${short(quantity.of(used, t))} at t = ${t}`}>
            </plot-view>
          `,
        )}
      </div>
    `;
  }
}

function legendOf(name: BetaSchedule) {
  const note = name === trained ? html` <small>(trained with)</small>` : '';
  return [name, html`<i class="swatch" style=${`background: ${colourOf(name)}`}></i>${name}${note}`] as const;
}

/** What t means, in numbers. */
function numbers({ alphasCumprod, betas, logSnr }: Schedule, t: number) {
  const abar = alphasCumprod[t];
  return html`
    <dl class="numbers" id="forward-numbers">
      <div><dt>βₜ</dt><dd>${figure(betas[t])}</dd></div>
      <div><dt>√ᾱₜ, of x₀</dt><dd>${figure(Math.sqrt(abar))}</dd></div>
      <div><dt>√(1 − ᾱₜ), of ε</dt><dd>${figure(Math.sqrt(1 - abar))}</dd></div>
      <div><dt>SNR</dt><dd>${figure(Math.exp(logSnr[t]))}</dd></div>
    </dl>
  `;
}

/** Curves of all schedules, the chosen one thick. */
function schedulePlot(of: (schedule: Schedule, t: number) => number, chosen: BetaSchedule, t: number): Draw {
  return (plot) => {
    const timesteps = Array.from({ length: 126 }, (_, i) => Math.round((i * last) / 125));
    const curve = (name: BetaSchedule) => timesteps.map((t) => ({ t, value: of(schedules.get(name)!, t) }));
    const line = { x: 't', y: 'value' } as const;
    const others = names.filter((name) => name !== chosen);
    // a schedule that ends in ever larger steps would leave no room for the others
    const highest = of === quantities.beta.of ? { domain: [0, 0.05], clamp: true } : { nice: true };
    return {
      height: 200,
      marginLeft: 44,
      x: { label: 't', ticks: 5 },
      y: { label: null, grid: true, ticks: 5, ...highest },
      marks: [
        ...others.map((name) => plot.lineY(curve(name), { ...line, stroke: colourOf(name), strokeWidth: 1.2 })),
        plot.lineY(curve(chosen), { ...line, stroke: colourOf(chosen), strokeWidth: 3 }),
        plot.ruleX([t], { stroke: 'currentColor', strokeOpacity: 0.5 }),
        plot.dot([{ t, value: of(schedules.get(chosen)!, t) }], { ...line, fill: colourOf(chosen), r: 4.5 }),
      ],
    };
  };
}

/** N(sqrt(abar) x0, 1 - abar) of three values of a pixel, and what all of them become. */
function densityPlot({ alphasCumprod }: Schedule, t: number): Draw {
  const abar = alphasCumprod[t];
  const deviation = Math.sqrt(1 - abar);
  const normal = (x: number, mean: number, deviation: number) =>
    Math.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * Math.sqrt(2 * Math.PI));
  return (plot) => {
    const places = Array.from({ length: 241 }, (_, i) => -3.6 + 0.03 * i);
    const curve = (start: number) => places.map((x) => ({ x, density: normal(x, Math.sqrt(abar) * start, deviation) }));
    const line = { x: 'x', y: 'density' } as const;
    const pixels = densities.map(([start, , colour]) => [curve(start), colour] as const);
    return {
      height: 200,
      marginLeft: 44,
      x: { label: 'pixel of xₜ', ticks: 7 },
      // narrow peaks are cut: their place is what counts
      y: {
        label: null,
        grid: true,
        ticks: 4,
        domain: [0, Math.max(0.5, Math.min(2.5, 0.42 / deviation))],
        clamp: true,
      },
      marks: [
        plot.lineY(
          places.map((x) => ({ x, density: normal(x, 0, 1) })),
          { ...line, stroke: 'currentColor', strokeDasharray: '3 4' },
        ),
        ...pixels.map(([points, stroke]) => plot.lineY(points, { ...line, stroke, strokeWidth: 2 })),
        ...pixels.map(([points, fill]) => plot.areaY(points, { ...line, fill, fillOpacity: 0.12 })),
      ],
    };
  };
}
