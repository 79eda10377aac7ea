// (d) Samplers side by side: one seed, some numbers of steps.
import { createPlan, type Sampler, type Tensor } from 'ddpm-wasm';
import { html, LitElement } from 'lit';
import { Address, choice, choicesOf, number } from './address.ts';
import { checks, maxSeed, seedField, select } from './controls.ts';
import { drawn } from './images.ts';
import { Job } from './job.ts';
import { classes, pipeline, samplers, schedule } from './model.ts';

const stepChoices = ['2', '5', '10', '20', '50', '100'] as const;

interface Cell {
  readonly image: Tensor;
  readonly calls: number;
  readonly seconds: number;
}

export class ComparePanel extends LitElement {
  readonly #address = new Address(
    this,
    'compare',
    {
      class: choice('Ankle boot', classes),
      seed: number(7, 0, maxSeed),
      samplers: choicesOf(['ddpm', 'ddim', 'dpm-solver++', 'unipc', 'heun'], samplers),
      steps: choicesOf(['5', '10', '20'], stepChoices),
    },
    () => this.#job.stop(),
  );
  readonly #job = new Job(this);
  /** What was sampled, by all that decides it. */
  readonly #cells = new Map<string, Cell>();

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    const { class: chosen, seed, samplers: columns, steps: rows } = this.#address.values;
    const { set } = this.#address;
    return html`
      <form class="controls" @submit=${(event: Event) => event.preventDefault()}>
        ${select('Class', chosen, classes, (value) => set({ class: value }))}
        ${seedField(seed, (value) => set({ seed: value }))}
      </form>
      ${checks('Steps', rows, stepChoices, (value) => set({ steps: value }))}
      <details>
        <summary>Samplers: ${columns.length} of ${samplers.length}</summary>
        ${checks('Samplers to compare', columns, samplers, (value) => set({ samplers: value }))}
      </details>
      ${this.#job.render('Compare', this.#run, { disabled: columns.length * rows.length === 0 })}
      <div class="scroll" tabindex="0" role="region" aria-label="Images by sampler and steps">
        <table class="grid">
          <thead>
            <tr><th scope="col">Steps</th>${columns.map((sampler) => html`<th scope="col">${sampler}</th>`)}</tr>
          </thead>
          <tbody>
            ${rows.map((steps) => html`<tr><th scope="row">${steps}</th>${columns.map((sampler) => this.#cell(sampler, steps))}</tr>`)}
          </tbody>
        </table>
      </div>
    `;
  }

  #cell(sampler: Sampler, steps: string) {
    const cell = this.#cells.get(this.#keyOf(sampler, steps));
    if (!cell) return html`<td><div class="empty cell"></div><small>–</small></td>`;
    return html`
      <td>
        <canvas class="cell" role="img" aria-label=${`${sampler}, ${steps} steps`} ${drawn(cell.image)}></canvas>
        <small>${cell.calls} calls, ${cell.seconds.toFixed(1)} s</small>
      </td>
    `;
  }

  #keyOf(sampler: string, steps: string): string {
    const { class: chosen, seed } = this.#address.values;
    return `${chosen}, ${seed}, ${sampler}, ${steps}`;
  }

  readonly #run = (): Promise<void> =>
    this.#job.start(async (signal, say) => {
      const network = await pipeline;
      const { class: chosen, seed, samplers: columns, steps: rows } = this.#address.values;
      const asked = rows.flatMap((steps) => columns.map((sampler) => ({ sampler, steps })));
      for (const [i, { sampler, steps }] of asked.entries()) {
        say('Sampling…', i / asked.length);
        if (this.#cells.has(this.#keyOf(sampler, steps))) continue;
        const options = { sampler, steps: Number(steps) };
        const { calls } = createPlan(schedule, options);
        const begin = performance.now();
        const image = await network.sample({ ...options, class: chosen, seed, signal });
        const seconds = (performance.now() - begin) / 1000;
        this.#cells.set(this.#keyOf(sampler, steps), { image, calls, seconds });
      }
      return `Done: ${asked.length} images of the noise of seed ${seed}.`;
    });
}
