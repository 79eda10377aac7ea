import { toPixels } from '../../src/image/tensor.ts';
import { loadPipeline, type SampleOptions } from '../../src/index.ts';

/** What the element's canvas holds for images that Node samples: RGBA, a grid with gaps that nothing is drawn on. */
export async function drawnBytes(
  source: string | Uint8Array,
  options: SampleOptions,
  scheduler?: object,
): Promise<Uint8Array> {
  const pipeline = await loadPipeline(source, { device: 'cpu', scheduler });
  const images = toPixels(pipeline.engine, await pipeline.sample(options));
  await pipeline.dispose();
  const [{ width, height, channels }] = images;
  const columns = Math.ceil(Math.sqrt(images.length));
  const gap = images.length > 1 ? Math.ceil(width / 32) : 0;
  const stride = columns * (width + gap) - gap;
  const out = new Uint8Array(4 * stride * (Math.ceil(images.length / columns) * (height + gap) - gap));
  images.forEach(({ data }, i) => {
    const origin = Math.floor(i / columns) * (height + gap) * stride + (i % columns) * (width + gap);
    for (let p = 0; p < width * height; p++) {
      const at = 4 * (origin + Math.floor(p / width) * stride + (p % width));
      for (let c = 0; c < 4; c++) out[at + c] = c === 3 ? 255 : data[p * channels + (channels === 1 ? 0 : c)];
    }
  });
  return out;
}
