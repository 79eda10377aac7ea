import type * as Plot from '@observablehq/plot';
import { html, LitElement, nothing, type TemplateResult } from 'lit';

/** What is to be drawn, given the library and the room in pixels. */
export type Draw = (plot: typeof Plot, width: number) => Plot.PlotOptions;

// loaded with the first plot, and not before the page is there
let library: Promise<typeof Plot> | undefined;

/** `<plot-view>`: a plot as wide as there is room, drawn again when `draw` is another function or the room changes. */
export class PlotView extends LitElement {
  static override properties = { draw: { attribute: false }, label: {}, caption: { attribute: false } };

  declare draw: Draw;
  /** What the plot shows, for who does not see it. */
  declare label: string;
  declare caption: string | TemplateResult;
  #plot: typeof Plot | undefined;
  #width = 0;
  readonly #observer = new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - this.#width) < 1) return;
    this.#width = contentRect.width;
    this.requestUpdate();
  });

  override connectedCallback(): void {
    super.connectedCallback();
    this.#observer.observe(this);
    library ??= import('@observablehq/plot');
    library.then((plot) => {
      this.#plot = plot;
      this.requestUpdate();
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#observer.disconnect();
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    return html`
      <figure class="plot">
        <figcaption>${this.caption}</figcaption>
        <div role="img" aria-label=${this.label}><div aria-hidden="true">${this.#drawn()}</div></div>
      </figure>
    `;
  }

  #drawn() {
    if (!this.#plot || this.#width === 0) return nothing;
    const style = { background: 'none', fontSize: '12px', overflow: 'visible' };
    const { x, ...options } = this.draw(this.#plot, this.#width);
    // the label of the axis under its numbers
    const axis = { labelOffset: 34, labelArrow: 'none' as const, ...x };
    return this.#plot.plot({
      style,
      width: this.#width,
      marginTop: 12,
      marginRight: 16,
      marginBottom: 40,
      x: axis,
      ...options,
    });
  }
}
