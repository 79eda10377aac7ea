import type { Tensor } from 'ddpm-wasm';
import { html, LitElement } from 'lit';
import { imageShape } from './model.ts';

const [channels, height, width] = imageShape;

/**
 * `<drawing-pad>`: a canvas of the model's pixels to paint on with a pointer, or with arrow keys and the space bar. With an
 * `image` the paint lies over it, as a mask does. Dispatches `paint` at each stroke.
 */
export class DrawingPad extends LitElement {
  static override properties = { image: { attribute: false }, label: {}, brush: { type: Number } };

  /** What is painted on; black without one. */
  declare image: Tensor | undefined;
  declare label: string;
  /** The brush's radius in pixels. */
  declare brush: number;
  /** How much paint is on each pixel, 0 to 1. */
  ink = new Float32Array(height * width);
  #cursor: readonly [x: number, y: number] = [Math.floor(width / 2), Math.floor(height / 2)];
  #last: readonly [x: number, y: number] | undefined;
  #focused = false;

  constructor() {
    super();
    this.label = 'Drawing';
    this.brush = 1.4;
  }

  /** What is painted, white on black. */
  get picture(): Tensor {
    const data = new Float32Array(channels * height * width).map((_, i) => 2 * this.ink[i % this.ink.length] - 1);
    return { data, shape: [1, ...imageShape] };
  }

  get empty(): boolean {
    return this.ink.every((ink) => ink === 0);
  }

  clear(): void {
    this.ink = new Float32Array(height * width);
    this.#changed();
  }

  protected override createRenderRoot() {
    return this;
  }

  protected override render() {
    const focus = (focused: boolean) => () => {
      this.#focused = focused;
      this.requestUpdate();
    };
    return html`
      <canvas class="paint" width=${width} height=${height} tabindex="0" role="application"
        aria-label=${`${this.label}: arrow keys move, the space bar paints`}
        @pointerdown=${this.#down} @pointermove=${this.#move} @pointerup=${this.#up} @pointercancel=${this.#up}
        @keydown=${this.#key} @focus=${focus(true)} @blur=${focus(false)}></canvas>
    `;
  }

  protected override updated(): void {
    const context = this.querySelector('canvas')!.getContext('2d')!;
    const pixels = context.createImageData(width, height);
    // paint over a picture is told from the picture by its colour
    const paint = this.image ? [255, 120, 90] : [255, 255, 255];
    for (let p = 0; p < height * width; p++)
      for (let c = 0; c < 4; c++) {
        const plane = channels === 1 ? 0 : c;
        const under = this.image ? (this.image.data[plane * height * width + p] + 1) * 127.5 : 0;
        pixels.data[4 * p + c] = c === 3 ? 255 : under + (paint[c] - under) * this.ink[p] * (this.image ? 0.8 : 1);
      }
    context.putImageData(pixels, 0, 0);
    if (!this.#focused) return;
    context.fillStyle = '#4d7dff';
    context.fillRect(...this.#cursor, 1, 1);
  }

  readonly #down = (event: PointerEvent): void => {
    (event.target as Element).setPointerCapture(event.pointerId);
    this.#stroke(this.#placeOf(event));
  };

  readonly #move = (event: PointerEvent): void => {
    if (this.#last) this.#stroke(this.#placeOf(event));
  };

  readonly #up = (): void => {
    this.#last = undefined;
  };

  readonly #key = (event: KeyboardEvent): void => {
    const moves: Record<string, readonly [number, number]> = {
      ...{ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] },
      ' ': [0, 0],
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const [x, y] = this.#cursor.map((at, i) => at + move[i]);
    this.#cursor = [Math.min(Math.max(x, 0), width - 1), Math.min(Math.max(y, 0), height - 1)];
    if (event.key === ' ') {
      this.#stroke([this.#cursor[0] + 0.5, this.#cursor[1] + 0.5]);
      this.#last = undefined;
    } else this.requestUpdate();
  };

  #placeOf({ target, offsetX, offsetY }: PointerEvent): readonly [x: number, y: number] {
    const { clientWidth, clientHeight } = target as Element;
    return [(offsetX / clientWidth) * width, (offsetY / clientHeight) * height];
  }

  /** Paints from where the brush was last. */
  #stroke(to: readonly [x: number, y: number]): void {
    const from = this.#last ?? to;
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const along = dx * dx + dy * dy || 1;
    for (let p = 0; p < this.ink.length; p++) {
      const [x, y] = [(p % width) + 0.5 - from[0], Math.floor(p / width) + 0.5 - from[1]];
      const nearest = Math.min(Math.max((x * dx + y * dy) / along, 0), 1);
      const distance = Math.hypot(x - nearest * dx, y - nearest * dy);
      this.ink[p] = Math.max(this.ink[p], Math.min(Math.max(this.brush + 0.5 - distance, 0), 1));
    }
    this.#last = to;
    this.#changed();
  }

  #changed(): void {
    this.requestUpdate();
    this.dispatchEvent(new Event('paint'));
  }
}
