// Tensors as pictures in the page.
import type { Tensor } from 'ddpm-wasm';
import { drawImages } from 'ddpm-wasm/worker';
import { html, nothing, type TemplateResult } from 'lit';
import { Directive, directive, type ElementPart, type PartInfo, PartType } from 'lit/directive.js';

/** Images drawn on the canvas that this stands in, anew when they are others. */
export const drawn = directive(
  class extends Directive {
    #images: Tensor | undefined;

    constructor(part: PartInfo) {
      super(part);
      if (part.type !== PartType.ELEMENT) throw new TypeError('"drawn" stands in a tag');
    }

    override render(_images: Tensor) {
      return nothing;
    }

    override update({ element }: ElementPart, [images]: [Tensor]) {
      if (images !== this.#images) drawImages(element as HTMLCanvasElement, images);
      this.#images = images;
      return nothing;
    }
  },
);

/** Images with what they are; before there are any, an empty place. */
export function picture(
  images: Tensor | undefined,
  label: string,
  caption: string | TemplateResult,
  id?: string,
): TemplateResult {
  return html`
    <figure class="picture">
      ${
        images
          ? html`<canvas id=${id ?? nothing} role="img" aria-label=${label} ${drawn(images)}></canvas>`
          : html`<div class="empty" role="img" aria-label=${`${label}: none yet`}></div>`
      }
      <figcaption>${caption}</figcaption>
    </figure>
  `;
}

/** Whether the user asked for little motion: then only ends are drawn. */
export const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** Image `index` of several. */
export function imageOf({ data, shape: [, ...shape] }: Tensor, index: number): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  return { data: data.slice(index * size, (index + 1) * size), shape: [1, ...shape] };
}

/** Images of one size, one behind another. */
export function stack(images: readonly Tensor[]): Tensor {
  const [{ data, shape }] = images;
  const all = new Float32Array(images.length * data.length);
  for (const [i, image] of images.entries()) all.set(image.data, i * data.length);
  return { data: all, shape: [images.length, ...shape.slice(1)] };
}

/** Values in [-1, 1] as bytes. */
export function toBytes({ data }: Tensor): Uint8Array {
  return new Uint8Array(Uint8ClampedArray.from(data, (value) => (value + 1) * 127.5).buffer);
}
