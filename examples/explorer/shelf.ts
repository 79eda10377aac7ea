// The pictures that panels work on: made by the model, dropped, chosen or drawn.
import type { Tensor } from 'ddpm-wasm';
import { html, type TemplateResult } from 'lit';
import { live } from 'lit/directives/live.js';
import { drawn } from './images.ts';
import { Store } from './store.ts';

export interface Picture {
  readonly id: number;
  readonly name: string;
  /** [1, channels, height, width] in [-1, 1]. */
  readonly image: Tensor;
}

/** How many there may be. */
export const capacity = 48;

export const shelf = new Store<readonly Picture[]>([]);
let lastId = 0;

/** Puts pictures in front, where panels find them without being told; the oldest go when there are too many. */
export function add(pictures: readonly Omit<Picture, 'id'>[]): void {
  shelf.value = [...pictures.map((one) => ({ ...one, id: ++lastId })), ...shelf.value].slice(0, capacity);
}

export function remove(...ids: readonly number[]): void {
  shelf.value = shelf.value.filter(({ id }) => !ids.includes(id));
}

/** The chosen picture; the first one until there is a choice. */
export function pictureOf(id: number | undefined, fallback = 0): Picture | undefined {
  const pictures = shelf.value;
  return pictures.find((one) => one.id === id) ?? pictures[fallback] ?? pictures[0];
}

/** Pictures to choose one of. */
export function picker(
  legend: string,
  chosen: Picture | undefined,
  choose: (picture: Picture) => void,
): TemplateResult {
  return html`
    <fieldset class="picker">
      <legend>${legend}</legend>
      ${shelf.value.length === 0 ? html`<p>None yet: the model is making some.</p>` : ''}
      ${shelf.value.map(
        (one) => html`
          <label title=${one.name}>
            <input type="radio" name=${legend} .checked=${live(one === chosen)} @change=${() => choose(one)} />
            <canvas role="img" aria-label=${one.name} ${drawn(one.image)}></canvas>
          </label>
        `,
      )}
    </fieldset>
  `;
}
