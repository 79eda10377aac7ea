import { css } from 'lit';

/** How `<ddpm-sample>` looks: custom properties and parts change it, `color-scheme` of the page chooses light or dark. */
export const sampleStyles = css`
  :host {
    --_accent: var(--ddpm-accent, light-dark(#3949ab, #9fa8ff));
    --_on-accent: var(--ddpm-on-accent, light-dark(#fff, #10122b));
    --_background: var(--ddpm-background, light-dark(#fff, #17181d));
    --_well: var(--ddpm-well, light-dark(#eceef3, #0d0e11));
    --_text: var(--ddpm-text, light-dark(#1b1d26, #eceef5));
    --_muted: var(--ddpm-muted, light-dark(#5a6072, #a3a9bb));
    --_border: var(--ddpm-border, light-dark(#d5d9e3, #30333d));
    --_danger: var(--ddpm-danger, light-dark(#b3261e, #ffb4ab));
    --_radius: var(--ddpm-radius, 14px);
    display: block;
    box-sizing: border-box;
    max-inline-size: var(--ddpm-size, 26rem);
    padding: var(--ddpm-padding, 14px);
    border: 1px solid var(--_border);
    border-radius: var(--_radius);
    background: var(--_background);
    color: var(--_text);
    font: 400 0.9375rem / 1.4 var(--ddpm-font, system-ui, sans-serif);
  }

  :host([hidden]) {
    display: none;
  }

  .well {
    position: relative;
    overflow: hidden;
    padding: 10px;
    border-radius: max(0px, var(--_radius) - 6px);
    background: var(--_well);
  }

  canvas {
    display: block;
    inline-size: 100%;
    block-size: auto;
    image-rendering: pixelated;
  }

  .hint {
    position: absolute;
    inset: 0;
    display: grid;
    place-content: center;
    padding: 1rem;
    color: var(--_muted);
    text-align: center;
  }

  progress {
    display: block;
    appearance: none;
    inline-size: 100%;
    block-size: 4px;
    margin-block: 10px;
    border: 0;
    border-radius: 2px;
    overflow: hidden;
    background: var(--_well);
    color: var(--_accent);
  }

  progress::-webkit-progress-bar {
    background: var(--_well);
  }

  /* one by one: a browser drops a rule with a selector that it does not know */
  progress::-webkit-progress-value {
    background: var(--_accent);
  }

  progress::-moz-progress-bar {
    background: var(--_accent);
  }

  .controls {
    display: flex;
    flex-wrap: wrap;
    gap: 8px;
  }

  button,
  select {
    min-block-size: 40px;
    padding: 0 14px;
    border: 1px solid var(--_border);
    border-radius: 10px;
    background: transparent;
    color: inherit;
    font: inherit;
    cursor: pointer;
  }

  select {
    flex: 1 1 8rem;
    min-inline-size: 0;
    background: var(--_background);
  }

  button.go {
    flex: 1 1 7rem;
    border-color: transparent;
    background: var(--_accent);
    color: var(--_on-accent);
    font-weight: 600;
  }

  button:hover,
  select:hover {
    border-color: var(--_accent);
  }

  button.go:hover {
    filter: brightness(1.08);
  }

  :focus-visible {
    outline: 2px solid var(--_accent);
    outline-offset: 2px;
  }

  .lines {
    display: flex;
    flex-wrap: wrap;
    justify-content: space-between;
    gap: 0 1rem;
    margin-block-start: 10px;
    color: var(--_muted);
    font-size: 0.8125rem;
    font-variant-numeric: tabular-nums;
  }

  p {
    margin: 0;
  }

  .error {
    color: var(--_danger);
    overflow-wrap: anywhere;
  }
`;
