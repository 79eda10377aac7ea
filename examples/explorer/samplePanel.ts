// (a) One run, step by step: the state beside what the network takes the finished image to be.
import { createPlan, type PlanOptions, type Step } from 'ddpm-wasm';
import { html, LitElement } from 'lit';
import { Address, choice, number } from './address.ts';
import { maxSeed, numberField, seedField, select, slider } from './controls.ts';
import { current, lookAt } from './current.ts';
import { picture, still } from './images.ts';
import { Job } from './job.ts';
import { classes, pipeline, samplers, schedule } from './model.ts';
import { short } from './numbers.ts';

const everyClass = 'every class';
const noClass = 'no class';
/** Samplers whose noise can be chosen. */
const noisy = ['ddim', 'euler-ancestral', 'dpm2-ancestral'];

export class SamplePanel extends LitElement {
  readonly #address = new Address(
    this,
    'sample',
    {
      class: choice('Ankle boot', [everyClass, ...classes, noClass]),
      sampler: choice('ddim', samplers),
      steps: number(25, 1, schedule.trainTimesteps),
      eta: number(1, 0, 1, 0.1),
      seed: number(7, 0, maxSeed),
      guidance: number(0, 0, 10, 0.5),
      count: number(1, 1, 16),
    },
    () => this.#changed(),
  );
  readonly #job = new Job(this);
  readonly #current = current.watch(this);
  /** The steps of the run so far. */
  #steps: Step[] = [];
  #problem = '';

  constructor() {
    super();
    this.#changed();
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    const { sampler, steps, eta, seed, guidance, count, class: chosen } = this.#address.values;
    const { set } = this.#address;
    return html`
      <form class="controls" @submit=${(event: Event) => event.preventDefault()}>
        ${select('Class', chosen, [everyClass, ...classes, noClass], (value) => set({ class: value }))}
        ${select('Sampler', sampler, samplers, (value) => set({ sampler: value }))}
        ${numberField('Steps', steps, { min: 1, max: schedule.trainTimesteps }, (value) => set({ steps: value }))}
        ${seedField(seed, (value) => set({ seed: value }))}
        ${numberField('Images', count, { min: 1, max: 16 }, (value) => set({ count: value }))}
        ${slider(
          'Guidance',
          guidance,
          { min: 0, max: 10, step: 0.5 },
          {
            shown: [0, 1].includes(guidance) ? `${guidance}: none` : undefined,
            disabled: chosen === noClass,
            set: (value) => set({ guidance: value }),
          },
        )}
        ${
          noisy.includes(sampler)
            ? slider(
                'η, the share of noise',
                eta,
                { min: 0, max: 1, step: 0.1 },
                { set: (value) => set({ eta: value }) },
              )
            : ''
        }
      </form>
      ${this.#job.render('Sample', this.#run, { disabled: this.#problem !== '' })}
      ${this.#problem ? html`<p role="alert" class="wrong">${this.#problem}</p>` : ''}
      ${this.#pictures()}
    `;
  }

  #pictures() {
    // none before there are settings that make one
    if (!this.#current.value) return '';
    const { plan, call } = this.#current.value;
    const step = this.#steps[call];
    const last = call === plan.calls - 1;
    return html`
      <div class="pair">
        ${picture(step?.x, 'The state after the step', html`<b>x</b>, the state after step ${call + 1}${last ? ': the image' : ''}`, 'sample-state')}
        ${picture(step?.start, 'The estimate of the finished image', html`<b>x̂₀</b>, the estimate at t = ${short(plan.timesteps[call])}`, 'sample-start')}
      </div>
      ${slider(
        'Step',
        call + 1,
        { min: 1, max: plan.calls },
        {
          shown: `${call + 1} of ${plan.calls}`,
          disabled: this.#job.busy,
          set: (value) => lookAt(value - 1),
        },
      )}
      ${this.#film(plan.calls)}
    `;
  }

  /** The whole run at a glance, at most eight steps of it. */
  #film(calls: number) {
    const shown = Math.min(calls, 8);
    const stops = Array.from({ length: shown }, (_, i) => Math.round(((i + 1) * calls) / shown) - 1);
    const line = (name: string, of: 'x' | 'start') => html`
      <div class="strip" role="group" aria-label=${`${name} over the run`}>
        ${stops.map((stop) => picture(this.#steps[stop]?.[of], `${name} at step ${stop + 1}`, of === 'start' ? `step ${stop + 1}` : ''))}
      </div>
    `;
    return html`<div class="film">${line('The state', 'x')}${line('The estimate', 'start')}</div>`;
  }

  get #plan(): PlanOptions {
    const { sampler, steps, eta } = this.#address.values;
    return { sampler, steps, ...(noisy.includes(sampler) && { eta }) };
  }

  /** The settings are others: what was sampled is no longer theirs. */
  #changed(): void {
    this.#steps = [];
    try {
      const plan = createPlan(schedule, this.#plan);
      this.#problem = '';
      current.value = { plan, call: 0 };
      this.#run();
    } catch (error) {
      this.#problem = (error as Error).message;
      this.#job.stop();
    }
  }

  readonly #run = (): Promise<void> =>
    this.#job.start(async (signal, say) => {
      const network = await pipeline;
      signal.throwIfAborted();
      const { class: chosen, seed, guidance, count } = this.#address.values;
      const { plan } = this.#current.value!;
      const calls = plan.calls;
      const label = chosen === noClass ? network.model.unconditional : chosen === everyClass ? undefined : chosen;
      const asked = { ...this.#plan, class: label, seed, guidance: chosen === noClass ? 0 : guidance, count, signal };
      const begin = performance.now();
      this.#steps = [];
      say('Sampling…', 0);
      for await (const step of network.steps(asked)) {
        this.#steps.push(step);
        say('Sampling…', (step.index + 1) / calls);
        if (!still() || step.index === calls - 1) lookAt(step.index);
      }
      const seconds = (performance.now() - begin) / 1000;
      return `Done: ${calls} steps in ${seconds.toFixed(1)} s. Seed ${seed} gives the same again.`;
    });
}
