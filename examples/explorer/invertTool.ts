import type { Tensor } from 'ddpm-wasm';
import { html, LitElement } from 'lit';
import { numberField, select } from './controls.ts';
import { picture } from './images.ts';
import { Job } from './job.ts';
import { classes, pipeline } from './model.ts';
import { short } from './numbers.ts';
import { type Picture, picker, pictureOf, shelf } from './shelf.ts';

const noClass = 'no class';

/** What was found of a picture. */
interface Found {
  readonly of: Picture;
  readonly latents: Tensor;
  readonly again: Tensor;
}

/** `<invert-tool>`: the noise that a picture comes from, and the picture that comes from it again. */
export class InvertTool extends LitElement {
  readonly #job = new Job(this);
  #chosen: number | undefined;
  #steps = 30;
  #class = noClass;
  #found: Found | undefined;

  constructor() {
    super();
    shelf.watch(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#job.stop();
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    const chosen = pictureOf(this.#chosen);
    const found = this.#found?.of === chosen ? this.#found : undefined;
    const change = (set: () => void) => {
      set();
      this.requestUpdate();
    };
    return html`
      <p>
        The DDIM step with η = 0 run backwards, each step made exact by a second call; then forwards again, by default
        as it came. Another class keeps the noise and changes what is made of it.
      </p>
      ${picker('Picture to invert', chosen, ({ id }) => change(() => (this.#chosen = id)))}
      <div class="controls">
        ${numberField('Steps', this.#steps, { min: 2, max: 500 }, (value) => change(() => (this.#steps = value)))}
        ${select('Class on the way back', this.#class, [noClass, ...classes], (value) => change(() => (this.#class = value)))}
      </div>
      ${this.#job.render('Invert', () => this.#run(chosen!), { disabled: !chosen })}
      <div class="trio">
        ${picture(chosen?.image, 'The picture', html`<b>x₀</b>, the picture`)}
        ${picture(found?.latents, 'Its noise', found ? html`<b>x</b><sub>T</sub>, mean ${short(mean(found.latents), 2)}, variance ${short(variance(found.latents), 3)}` : html`<b>x</b><sub>T</sub>, its noise`)}
        ${picture(found?.again, 'Made of the noise', found ? html`made of it again: ${short(greyLevels(found), 3)} grey levels off` : 'made of it again')}
      </div>
    `;
  }

  readonly #run = (of: Picture): Promise<void> =>
    this.#job.start(async (signal, say) => {
      const network = await pipeline;
      const steps = this.#steps;
      const begin = performance.now();
      say('Running backwards…', 0.1);
      const latents = await network.invert(of.image, { steps, signal });
      say('And forwards…', 0.7);
      const label = this.#class === noClass ? undefined : this.#class;
      const again = await network.reconstruct(latents, { steps, signal, class: label });
      this.#found = { of, latents, again };
      return `Done: ${2 * steps} calls back, ${steps} forth in ${((performance.now() - begin) / 1000).toFixed(1)} s.`;
    });
}

function mean({ data }: Tensor): number {
  return data.reduce((sum, value) => sum + value, 0) / data.length;
}

function variance(images: Tensor): number {
  const centre = mean(images);
  return images.data.reduce((sum, value) => sum + (value - centre) ** 2, 0) / images.data.length;
}

/** The root mean squared difference in steps of 1/255. */
function greyLevels({ of, again }: Found): number {
  const { data } = of.image;
  const squares = again.data.reduce((sum, value, i) => sum + (Math.min(Math.max(value, -1), 1) - data[i]) ** 2, 0);
  return 127.5 * Math.sqrt(squares / data.length);
}
