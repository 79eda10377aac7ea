import { imageGrid } from '../../src/image/grid.ts';
import type { Pixels } from '../../src/image/pixels.ts';
import { encodePng } from '../../src/image/png.ts';
import { toPixels } from '../../src/image/tensor.ts';
import type { Pipeline } from '../../src/index.ts';
import { cellWithin, type Entrant } from './entrants.ts';
import { seed } from './featureSets.ts';

/** A picture, and which entrant each of its rows shows. */
export interface Picture {
  readonly png: Uint8Array;
  readonly rows: readonly string[];
}

/** The same images of the same seed by each entrant: a row for each that can do with so many calls, a column a class. */
export async function drawPicture(
  pipeline: Pipeline,
  { entrants, calls }: { readonly entrants: readonly Entrant[]; readonly calls: number },
): Promise<Picture> {
  const columns = 10;
  const images: Pixels[] = [];
  const rows: string[] = [];
  for (const entrant of entrants) {
    const cell = cellWithin(pipeline, entrant, calls);
    if (!cell) continue;
    const run = { ...entrant.options, steps: cell.steps, seed, count: columns, guidance: 0 };
    images.push(...toPixels(pipeline.engine, await pipeline.sample(run)));
    rows.push(entrant.name);
  }
  return { png: encodePng(imageGrid(images, { columns, scale: 2 })), rows };
}
