import type { Model } from '../model/types.ts';

/** An attribute as a number; one that is none becomes NaN, which whoever takes it refuses by name. */
export const numberIn = { fromAttribute: (text: string | null) => (text === null ? undefined : Number(text)) };

/** An attribute as a seed, which may have more digits than a number. */
export const seedIn = {
  fromAttribute(text: string | null): number | bigint {
    if (text === null) return 0;
    return /^\d{16,}$/.test(text) ? BigInt(text) : Number(text);
  },
};

/** The classes in a `class` attribute, by name or index and with commas; undefined for one that is for style sheets. */
export function classesIn(text: string | null, model: Pick<Model, 'labels' | 'classes'> | undefined) {
  if (!text?.trim() || !model?.classes) return undefined;
  const parts = text.split(',').map((part) => part.trim());
  const known = (part: string) => /^\d+$/.test(part) || model.labels?.some((label) => same(label, part));
  return parts.every(known) ? parts.map((part) => (/^\d+$/.test(part) ? Number(part) : part)) : undefined;
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
