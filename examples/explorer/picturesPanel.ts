// The shelf: pictures that the model makes, that are dropped or chosen, or drawn.
import type { Tensor } from 'ddpm-wasm';
import { html, LitElement } from 'lit';
import { drawn, imageOf } from './images.ts';
import { Job } from './job.ts';
import { classes, pipeline } from './model.ts';
import type { DrawingPad } from './pad.ts';
import { add, capacity, remove, shelf } from './shelf.ts';

export class PicturesPanel extends LitElement {
  readonly #shelf = shelf.watch(this);
  readonly #making = new Job(this);
  #seed = 0;
  #said = '';

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener('dragover', this.#over);
    document.addEventListener('drop', this.#drop);
    if (this.#shelf.value.length === 0) this.#make();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener('dragover', this.#over);
    document.removeEventListener('drop', this.#drop);
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    return html`
      <ul class="shelf" aria-label="Pictures">
        ${this.#shelf.value.map(
          ({ id, name, image }) => html`
            <li>
              <canvas role="img" aria-label=${name} title=${name} ${drawn(image)}></canvas>
              <button type="button" class="remove" aria-label=${`Remove ${name}`} title="Remove" @click=${() => remove(id)}>×</button>
            </li>
          `,
        )}
      </ul>
      <div class="buttons">
        ${this.#making.render('Make one of each class', this.#make)}
        <label class="button">
          Choose files
          <input id="files" class="hidden" type="file" multiple @change=${this.#choose} />
        </label>
        <button type="button" @click=${() => remove(...shelf.value.map(({ id }) => id))}>Remove all</button>
      </div>
      <p role="status">${this.#said}</p>
      <details>
        <summary>Draw one</summary>
        <div class="drawing">
          <drawing-pad label="Drawing"></drawing-pad>
          <div class="buttons">
            <button type="button" class="go" @click=${this.#keepDrawing}>Keep the drawing</button>
            <button type="button" @click=${() => this.#pad.clear()}>Clear</button>
          </div>
        </div>
      </details>
    `;
  }

  get #pad(): DrawingPad {
    return this.querySelector('drawing-pad')!;
  }

  readonly #make = (): Promise<void> =>
    this.#making.start(async (signal, say) => {
      const network = await pipeline;
      const seed = this.#seed++;
      say('Making pictures…', 0);
      const asked = { count: classes.length, sampler: 'dpm-solver++', steps: 12, seed, signal } as const;
      let images: Tensor | undefined;
      for await (const { x, index } of network.steps(asked)) {
        images = x;
        say('Making pictures…', (index + 1) / asked.steps);
      }
      add(classes.map((name, i) => ({ name: `${name} of seed ${seed}`, image: imageOf(images!, i) })));
      return '';
    });

  readonly #choose = ({ target }: Event): void => {
    const input = target as HTMLInputElement;
    this.#read([...input.files!]);
    // the same files can be chosen again
    input.value = '';
  };

  readonly #over = (event: DragEvent): void => event.preventDefault();

  readonly #drop = (event: DragEvent): void => {
    event.preventDefault();
    this.#read([...event.dataTransfer!.files]);
  };

  async #read(files: readonly File[]): Promise<void> {
    if (files.length === 0) return;
    this.#say('Reading…');
    const { readFiles } = await import('./files.ts');
    const { pictures, problems } = await readFiles(files, capacity);
    add(pictures);
    const count = `${pictures.length} ${pictures.length === 1 ? 'picture' : 'pictures'} added.`;
    this.#say([count, ...problems.slice(0, 3)].join(' '));
  }

  readonly #keepDrawing = (): void => {
    if (!this.#pad.empty) add([{ name: 'Drawing', image: this.#pad.picture }]);
    this.#say(this.#pad.empty ? 'Nothing is drawn yet.' : '1 picture added.');
    this.#pad.clear();
  };

  #say(message: string): void {
    this.#said = message;
    this.requestUpdate();
  }
}
