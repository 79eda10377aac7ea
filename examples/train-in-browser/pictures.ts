// Pictures in: what the browser can decode, cut to a square and scaled.
import { type Bytes, pictureBytes, side } from './project.ts';

/** The pictures in files, one behind another; what is no picture is left out. */
export async function decode(files: readonly File[]): Promise<{ pictures: Bytes; bad: string[] }> {
  const parts: Uint8ClampedArray[] = [];
  const bad: string[] = [];
  for (const file of files) {
    try {
      parts.push(await square(file));
    } catch {
      bad.push(file.name);
    }
  }
  const pictures = new Uint8Array(parts.length * pictureBytes);
  for (const [i, part] of parts.entries()) pictures.set(part, i * pictureBytes);
  return { pictures, bad };
}

/** The files that were dropped, those in folders too. */
export async function droppedFiles({ items }: DataTransfer): Promise<File[]> {
  const entries = Array.from(items, (item) => item.webkitGetAsEntry());
  return (await Promise.all(entries.map((entry) => (entry ? filesOf(entry) : [])))).flat();
}

async function square(file: File): Promise<Uint8ClampedArray> {
  const image = await createImageBitmap(file);
  const cut = Math.min(image.width, image.height);
  const canvas = new OffscreenCanvas(side, side);
  const context = canvas.getContext('2d', { willReadFrequently: true })!;
  // pixel art is made larger pixel by pixel, photographs are made smaller smoothly
  context.imageSmoothingEnabled = cut > side;
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, (image.width - cut) / 2, (image.height - cut) / 2, cut, cut, 0, 0, side, side);
  image.close();
  return context.getImageData(0, 0, side, side).data;
}

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile)
    return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  // a folder is told in parts, the last of which is empty
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    files.push(...(await Promise.all(entries.map(filesOf))).flat());
  }
}
