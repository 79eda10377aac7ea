import type { Tensor } from 'ddpm-wasm';
import { html, LitElement } from 'lit';
import { numberField } from './controls.ts';
import { imageOf, picture, stack } from './images.ts';
import { Job } from './job.ts';
import { pipeline } from './model.ts';
import { picker, pictureOf, shelf } from './shelf.ts';

/** `<interpolate-tool>`: from one picture to another, between their noises. */
export class InterpolateTool extends LitElement {
  readonly #job = new Job(this);
  #from: number | undefined;
  #to: number | undefined;
  #steps = 30;
  #count = 7;
  #way: Tensor | undefined;

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
    const [from, to] = [pictureOf(this.#from), pictureOf(this.#to, 1)];
    const change = (set: () => void) => {
      set();
      this.#way = undefined;
      this.requestUpdate();
    };
    return html`
      <p>
        Both pictures are inverted. Between their noises the way is taken along the sphere, on which such noise lies, and
        an image is made at every stop. The ends are the two pictures, as far as inversion is exact.
      </p>
      ${picker('From', from, ({ id }) => change(() => (this.#from = id)))}
      ${picker('To', to, ({ id }) => change(() => (this.#to = id)))}
      <div class="controls">
        ${numberField('Steps', this.#steps, { min: 2, max: 500 }, (value) => change(() => (this.#steps = value)))}
        ${numberField('Images', this.#count, { min: 2, max: 16 }, (value) => change(() => (this.#count = value)))}
      </div>
      ${this.#job.render('Interpolate', () => this.#run(from!.image, to!.image), { disabled: !from || !to })}
      <div class="strip" id="way">
        ${Array.from({ length: this.#count }, (_, i) => {
          const share = `${Math.round((100 * i) / (this.#count - 1))} %`;
          return picture(this.#way && imageOf(this.#way, i), `${share} of the way`, share);
        })}
      </div>
    `;
  }

  readonly #run = (from: Tensor, to: Tensor): Promise<void> =>
    this.#job.start(async (signal, say) => {
      const network = await pipeline;
      const steps = this.#steps;
      say('Inverting both…', 0.1);
      const latents = await network.invert(stack([from, to]), { steps, signal });
      say('Making the images between…', 0.5);
      const ends = { from: imageOf(latents, 0), to: imageOf(latents, 1) };
      this.#way = await network.interpolate({ ...ends, count: this.#count, steps, signal });
      return `Done: ${this.#count} images.`;
    });
}
