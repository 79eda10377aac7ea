// The controls of all panels: each has its label, and says what it was set to.
import { html, type TemplateResult } from 'lit';
import { live } from 'lit/directives/live.js';

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly step?: number;
}

export function numberField(
  label: string,
  value: number,
  { min, max, step = 1 }: Bounds,
  set: (value: number) => void,
): TemplateResult {
  return html`
    <label class="field">
      <span>${label}</span>
      <input type="number" min=${min} max=${max} step=${step} .value=${live(String(value))}
        @change=${({ target }: Event) => set((target as HTMLInputElement).valueAsNumber)} />
    </label>
  `;
}

/** A seed, with a button for another. */
export function seedField(value: number, set: (value: number) => void): TemplateResult {
  const another = () => set(crypto.getRandomValues(new Uint16Array(1))[0]);
  return html`
    <div class="field seed">
      ${numberField('Seed', value, { min: 0, max: maxSeed }, set)}
      <button type="button" @click=${another} aria-label="Another seed" title="Another seed">↻</button>
    </div>
  `;
}

export const maxSeed = 2 ** 32 - 1;

/** A slider, with what it is set to beside its label. */
export function slider(
  label: string,
  value: number,
  { min, max, step = 1 }: Bounds,
  options: { readonly shown?: string; readonly disabled?: boolean; readonly set: (value: number) => void },
): TemplateResult {
  const { shown = String(value), disabled = false, set } = options;
  return html`
    <label class="slider">
      <span>${label} <b aria-hidden="true">${shown}</b></span>
      <input type="range" aria-valuetext=${shown} min=${min} max=${max} step=${step} .value=${live(String(value))} ?disabled=${disabled}
        @input=${({ target }: Event) => set((target as HTMLInputElement).valueAsNumber)} />
    </label>
  `;
}

export function select<T extends string>(
  label: string,
  value: T,
  choices: readonly (T | readonly [value: T, name: string])[],
  set: (value: T) => void,
): TemplateResult {
  return html`
    <label class="field">
      <span>${label}</span>
      <select @change=${({ target }: Event) => set((target as HTMLSelectElement).value as T)}>
        ${choices.map((one) => {
          const [choice, name] = typeof one === 'string' ? [one, one] : one;
          return html`<option value=${choice} .selected=${live(choice === value)}>${name}</option>`;
        })}
      </select>
    </label>
  `;
}

/** One of a few, all in sight. */
export function segments<T extends string>(
  legend: string,
  value: T,
  choices: readonly (readonly [value: T, name: string | TemplateResult])[],
  set: (value: T) => void,
): TemplateResult {
  return html`
    <fieldset class="segments">
      <legend>${legend}</legend>
      ${choices.map(
        ([choice, name]) => html`
          <label>
            <input type="radio" name=${legend} .checked=${live(choice === value)} @change=${() => set(choice)} />
            <span>${name}</span>
          </label>
        `,
      )}
    </fieldset>
  `;
}

/** Some of several. */
export function checks<T extends string>(
  legend: string,
  values: readonly T[],
  choices: readonly T[],
  set: (values: readonly T[]) => void,
): TemplateResult {
  const toggle = (choice: T) =>
    set(choices.filter((one) => (one === choice ? !values.includes(one) : values.includes(one))));
  return html`
    <fieldset class="checks">
      <legend>${legend}</legend>
      ${choices.map(
        (choice) => html`
          <label>
            <input type="checkbox" .checked=${live(values.includes(choice))} @change=${() => toggle(choice)} />
            <span>${choice}</span>
          </label>
        `,
      )}
    </fieldset>
  `;
}
