import { DdpmSample } from './sampleElement.ts';

export * from './sampleElement.ts';

if (!customElements.get('ddpm-sample')) customElements.define('ddpm-sample', DdpmSample);

declare global {
  interface HTMLElementTagNameMap {
    'ddpm-sample': DdpmSample;
  }
}
