// Files as pictures of the model's size.
import type { Tensor } from 'ddpm-wasm';
import type { Pixels } from 'ddpm-wasm/data';
import { imageShape } from './model.ts';
import type { Picture } from './shelf.ts';

type Named = Omit<Picture, 'id'>;

const [channels, height, width] = imageShape;

/** More than this along the shorter side is given up in the browser's own way before pixels are averaged. */
const longest = 1024;

/**
 * The pictures in files, at most `count`: images that the browser can decode, and the datasets that `openDataset` reads
 * (idx, zip, npy, safetensors). Scaled until they just cover the model's size, cut to the middle; grey by BT.601; what is
 * transparent lies on black.
 */
export async function readFiles(
  files: readonly File[],
  count: number,
): Promise<{ readonly pictures: Named[]; readonly problems: string[] }> {
  const pictures: Named[] = [];
  const problems: string[] = [];
  for (const file of files) {
    if (pictures.length >= count) break;
    try {
      pictures.push(...(await readFile(file, count - pictures.length)));
    } catch (error) {
      problems.push(`${file.name}: ${(error as Error).message}`);
    }
  }
  return { pictures, problems };
}

async function readFile(file: File, count: number): Promise<Named[]> {
  // what reads data is loaded when it is needed
  const data = await import('ddpm-wasm/data');
  const bitmap = file.type.startsWith('image/') ? await createImageBitmap(file) : undefined;
  if (bitmap) {
    const pixels = data.coverPixels(pixelsOf(bitmap), { channels, height, width }, [0, 0, 0]);
    return [{ name: file.name, image: toImage(pixels.data, pixels.channels) }];
  }
  const url = new URL(URL.createObjectURL(file));
  try {
    const dataset = await data.openDataset(url, { shape: imageShape, count, background: '#000000' });
    const pictures: Named[] = [];
    for await (const { data: bytes, shape } of dataset) {
      const size = bytes.length / shape[0];
      for (let i = 0; i < shape[0]; i++) {
        const image = toTensor(bytes.subarray(i * size, (i + 1) * size));
        pictures.push({ name: `${file.name}, ${pictures.length + 1}`, image });
      }
    }
    return pictures;
  } catch (error) {
    // the place is an address that nobody knows
    throw new Error((error as Error).message.replace(`${url.origin}${url.pathname}: `, ''), { cause: error });
  } finally {
    URL.revokeObjectURL(url.href);
  }
}

function pixelsOf(bitmap: ImageBitmap): Pixels {
  const scale = Math.min(1, longest / Math.min(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d')!;
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return { data, width: canvas.width, height: canvas.height, channels: 4 };
}

/** Channels beside one another as planes. */
function toImage(bytes: ArrayLike<number>, channels: number): Tensor {
  const plane = height * width;
  return toTensor(Uint8Array.from(bytes, (_, i) => bytes[(i % plane) * channels + Math.floor(i / plane)]));
}

function toTensor(bytes: Uint8Array): Tensor {
  return { data: Float32Array.from(bytes, (byte) => byte / 127.5 - 1), shape: [1, ...imageShape] };
}
