import type { Tensor } from 'ddpm-wasm';
import { html, LitElement } from 'lit';
import { maxSeed, numberField, seedField, select, slider } from './controls.ts';
import { picture, still } from './images.ts';
import { Job } from './job.ts';
import { classes, imageShape, pipeline } from './model.ts';
import type { DrawingPad } from './pad.ts';
import { type Picture, picker, pictureOf, shelf } from './shelf.ts';

/** `<inpaint-tool>`: paint over a part of a picture, and the model makes it anew. */
export class InpaintTool extends LitElement {
  readonly #job = new Job(this);
  #chosen: number | undefined;
  #class = classes[0];
  #steps = 50;
  #jumps = 1;
  #seed = 1;
  #result: Tensor | undefined;

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
    const change = (set: () => void) => {
      set();
      this.requestUpdate();
    };
    return html`
      <p>
        Paint over what is to be made anew. At each step the rest is the picture, noised as far as the run is; what is
        painted is the model’s. A jump goes back ten steps towards noise and runs them again, so that the parts agree (<a href="#repaint">RePaint</a>).
      </p>
      ${picker('Picture to repaint', chosen, ({ id }) =>
        change(() => {
          this.#chosen = id;
          this.#result = undefined;
        }),
      )}
      <div class="controls">
        ${select('Class', this.#class, classes, (value) => change(() => (this.#class = value)))}
        ${numberField('Steps', this.#steps, { min: 2, max: 500 }, (value) => change(() => (this.#steps = value)))}
        ${slider('Runs of each stretch', this.#jumps, { min: 1, max: 10 }, { set: (value) => change(() => (this.#jumps = value)) })}
        ${seedField(this.#seed, (value) => change(() => (this.#seed = Math.min(Math.max(value, 0), maxSeed))))}
      </div>
      <div class="pair">
        <figure class="picture">
          <drawing-pad label="Mask over the picture" brush="2.2" .image=${chosen?.image} @paint=${() => this.requestUpdate()}></drawing-pad>
          <figcaption>paint here <button type="button" @click=${() => this.#pad?.clear()}>Clear</button></figcaption>
        </figure>
        ${picture(this.#result, 'The repainted picture', 'repainted', 'inpainted')}
      </div>
      ${this.#job.render('Repaint', () => this.#run(chosen!), { disabled: !chosen })}
    `;
  }

  get #pad(): DrawingPad | null {
    return this.querySelector('drawing-pad');
  }

  readonly #run = (of: Picture): Promise<void> =>
    this.#job.start(async (signal, say) => {
      const network = await pipeline;
      const ink = this.#pad!.ink;
      if (this.#pad!.empty) throw new Error('Nothing is painted over yet.');
      // 1 where the picture is kept
      const mask = { data: ink.map((ink) => (ink > 0.5 ? 0 : 1)), shape: [1, 1, ...imageShape.slice(1)] };
      const jumps = { sampler: 'ddpm', steps: this.#steps, jumpLength: 10, jumpCount: this.#jumps } as const;
      const options = { ...jumps, init: of.image, mask, class: this.#class, seed: this.#seed, signal };
      const { calls } = await network.plan(options);
      for await (const { x, index } of network.steps(options)) {
        if (!still() || index === calls - 1) this.#result = x;
        say('Repainting…', (index + 1) / calls);
      }
      return `Done: ${calls} calls.`;
    });
}
