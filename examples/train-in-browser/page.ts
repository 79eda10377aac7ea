// The parts of the page, and how they say what is going on.
import { drawSheet } from './draw.ts';
import { type Bytes, pictureBytes, type Settings, type Sheet } from './project.ts';

export const element = <T extends Element = HTMLElement>(id: string) => document.getElementById(id) as unknown as T;
export const button = (id: string) => element<HTMLButtonElement>(id);
export const field = (id: keyof Settings) => element<HTMLInputElement>(id);
export const stepsAsked = () => Number(field('steps').value);

/** Tells the user, screen readers included. */
export function say(message: string): void {
  element('status').classList.remove('failed');
  element('status').textContent = message;
}

export function showSheet({ images, step }: Sheet): void {
  drawSheet(element('sheet'), images, Number(field('size').value));
  element('sheet').setAttribute('aria-label', `Samples after ${step} steps`);
  element('sampled').textContent = `After ${step} steps.`;
}

export function countOf({ length }: Bytes): string {
  const count = length / pictureBytes;
  return count === 0 ? 'Choose pictures to begin.' : `${count} ${count === 1 ? 'picture' : 'pictures'}.`;
}

/** Offers a file for download. */
export function save(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
}

export function duration(seconds: number): string {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
