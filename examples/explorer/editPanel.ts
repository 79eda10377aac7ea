// (e) Three things to do with a picture: find its noise, repaint a part, walk to another.
import { html, LitElement } from 'lit';
import { Address, choice } from './address.ts';
import { segments } from './controls.ts';

const tools = {
  invert: 'Invert',
  inpaint: 'Repaint',
  interpolate: 'Interpolate',
} as const;
type Tool = keyof typeof tools;

export class EditPanel extends LitElement {
  readonly #address = new Address(this, 'edit', { tool: choice<Tool>('invert', Object.keys(tools) as Tool[]) });

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    const { tool } = this.#address.values;
    const views = {
      invert: html`<invert-tool></invert-tool>`,
      inpaint: html`<inpaint-tool></inpaint-tool>`,
      interpolate: html`<interpolate-tool></interpolate-tool>`,
    };
    return html`
      ${segments('What to do', tool, Object.entries(tools) as [Tool, string][], (value) => this.#address.set({ tool: value }))}
      ${views[tool]}
    `;
  }
}
