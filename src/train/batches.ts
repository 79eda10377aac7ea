import { sizeOf } from '../core/tensor.ts';
import type { Feed } from './feed.ts';
import type { Part } from './noising.ts';

/** How the images of an optimizer step are dealt out. */
export interface Dealing {
  /** Channels, height and width. */
  readonly shape: readonly number[];
  readonly batch: number;
  /** Batches in a step. */
  readonly accumulation: number;
  readonly members: number;
  /** The class of images without one, for a network that takes classes. */
  readonly label?: number;
}

/** The images of the next step: for each member a part of every batch. */
export async function nextParts(feed: Feed, step: number, dealing: Dealing): Promise<Part[][]> {
  const { shape, batch, accumulation, members } = dealing;
  const pixels = sizeOf(shape);
  const parts: Part[][] = Array.from({ length: members }, () => []);
  for (let i = 0; i < accumulation; i++) {
    const { images, labels = plainLabels(dealing) } = await feed.next();
    for (const [member, own] of parts.entries()) {
      const [begin, end] = imagesOf(batch, member, members);
      own.push({
        images: images.subarray(begin * pixels, end * pixels),
        labels: labels?.subarray(begin, end),
        ...{ step, slot: i * batch + begin },
      });
    }
  }
  return parts;
}

function plainLabels({ batch, label }: Dealing): Int32Array | undefined {
  return label === undefined ? undefined : new Int32Array(batch).fill(label);
}

/** Which images of a batch a member takes. */
export function imagesOf(batch: number, member: number, members: number): [begin: number, end: number] {
  return [Math.floor((member * batch) / members), Math.floor(((member + 1) * batch) / members)];
}
