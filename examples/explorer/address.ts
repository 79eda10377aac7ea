// A panel's settings in the address, after its name: `#sample?seed=7&steps=20`. The panel that was changed last is there,
// so that a link to the page opens it as it is.
import type { ReactiveController, ReactiveControllerHost } from 'lit';

/** Reads a setting; text from elsewhere may be anything, so what cannot be is the fallback. */
type Field<T> = (text: string | null) => T;
type Values<F> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never };

/** A number in a range; a whole one unless there is another step. */
export function number(fallback: number, min: number, max: number, step = 1): Field<number> {
  return (text) => {
    const value = Number(text);
    if (text === null || text === '' || !Number.isFinite(value)) return fallback;
    return Number((Math.round(Math.min(Math.max(value, min), max) / step) * step).toPrecision(12));
  };
}

export function choice<T extends string>(fallback: T, choices: readonly T[]): Field<T> {
  return (text) => choices.find((one) => one === text) ?? fallback;
}

/** Several of the choices, in their own order. */
export function choicesOf<T extends string>(fallback: readonly T[], choices: readonly T[]): Field<readonly T[]> {
  return (text) => (text === null ? fallback : choices.filter((one) => text.split(' ').includes(one)));
}

/** The settings of one panel. */
export class Address<F extends Record<string, Field<unknown>>> implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  readonly #panel: string;
  readonly #fields: F;
  readonly #changed: () => void;
  values: Values<F>;

  /** @param changed What is done when the settings have changed, here or by a link. */
  constructor(host: ReactiveControllerHost, panel: string, fields: F, changed = () => {}) {
    this.#host = host;
    this.#panel = panel;
    this.#fields = fields;
    this.#changed = changed;
    this.values = this.#parse(this.#search() ?? '');
    host.addController(this);
  }

  /** Changes some settings; each is held to its range, as it would be in the address. */
  readonly set = (values: Partial<Values<F>>): void => {
    this.values = this.#parse(this.#write({ ...this.values, ...values }));
    history.replaceState(null, '', `#${this.#panel}?${this.#write(this.values)}`);
    this.#changed();
    this.#host.requestUpdate();
  };

  hostConnected(): void {
    addEventListener('hashchange', this.#read);
  }

  hostDisconnected(): void {
    removeEventListener('hashchange', this.#read);
  }

  readonly #read = (): void => {
    const search = this.#search();
    if (search === undefined) return;
    this.values = this.#parse(search);
    this.#changed();
    this.#host.requestUpdate();
  };

  /** What the address says of this panel, if anything. */
  #search(): string | undefined {
    const [panel, search] = location.hash.slice(1).split('?');
    return panel === this.#panel ? search : undefined;
  }

  #parse(search: string): Values<F> {
    const given = new URLSearchParams(search);
    const values = Object.entries(this.#fields).map(([name, field]) => [name, field(given.get(name))]);
    return Object.fromEntries(values) as Values<F>;
  }

  #write(values: Values<F>): string {
    const texts = Object.entries(values).map(([name, value]) => [name, [value].flat().join(' ')]);
    return new URLSearchParams(texts).toString();
  }
}

/** Brings the panel in the address into view: browsers look for an element of that whole name. */
export function showPanel(): void {
  const [panel, search] = location.hash.slice(1).split('?');
  if (search !== undefined) document.getElementById(panel)?.scrollIntoView();
}
