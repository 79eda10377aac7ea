// What the model card of models/sprites says, by the tenth of the tiles that was held out of its training: losses, the
// bound, how like them samples are, and whether samples repeat training tiles, which --neighbors draws.
//   npx tsx bench/sprites.ts [--model FOLDER] [--samples N] [--neighbors FILE.png]
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { ImageBatch } from '../src/core/dataset.ts';
import { imageGrid } from '../src/image/grid.ts';
import { fromPlanes } from '../src/image/planes.ts';
import { encodePng } from '../src/image/png.ts';
import { toPixels } from '../src/image/tensor.ts';
import { createEngine, loadPipeline } from '../src/index.ts';
import { compareImages, featureRows, nearestNeighbors, openFeatures, pixelRows } from '../src/metrics/index.ts';
import { headlines } from '../src/report/evaluation.ts';
import { openTrainingData, type TrainingConfig } from '../src/train/index.ts';
import { isHeldOut } from '../src/train/intake.ts';
import { randomFeatures } from './randomFeatures.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: path.join(root, 'models/sprites') },
    samples: { type: 'string', default: '1000' },
    neighbors: { type: 'string' },
  },
});

const engine = await createEngine();
const pipeline = await loadPipeline(path.resolve(flags.model), { device: 'cpu', batch: 64 });
const { training, heldOut } = await tiles();
if (flags.neighbors) writeFileSync(flags.neighbors, await neighborsPicture());
else await printTable(Number(flags.samples));
await pipeline.dispose();

/** The tiles that the model learned from and those that it never saw, a tile a batch, laid on the colour of its training. */
async function tiles() {
  const file = path.join(flags.model, 'training.json');
  const { data, seed }: TrainingConfig = JSON.parse(readFileSync(file, 'utf8'));
  const { source } = await openTrainingData(path.join(root, data.path!));
  const sets = { training: [] as ImageBatch[], heldOut: [] as ImageBatch[] };
  let index = 0;
  for await (const batch of source({ ...data, shape: pipeline.model.shape, seed, engine }).open())
    for (const tile of split(batch)) sets[isHeldOut(index++, data.holdOut) ? 'heldOut' : 'training'].push(tile);
  return sets;
}

function* split({ data, shape: [count, ...shape], labels }: ImageBatch): Generator<ImageBatch> {
  const size = data.length / count;
  for (let i = 0; i < count; i++)
    yield { data: data.slice(i * size, (i + 1) * size), shape: [1, ...shape], labels: labels?.slice(i, i + 1) };
}

async function printTable(samples: number): Promise<void> {
  const features = await randomFeatures(pipeline.model.shape[0]);
  const evaluation = await pipeline.evaluate(heldOut, {
    metrics: ['simple', 'vlb', 'quality'],
    quality: { samples, features, training },
  });
  const network = await openFeatures(features, { device: 'cpu' });
  // tiles lie class by class
  const spread = Array.from({ length: samples }, (_, i) => training[Math.floor((i * training.length) / samples)]);
  const [some, reference] = [await featureRows(network, spread), await featureRows(network, heldOut)];
  const floor = compareImages({ samples: some, reference }, { metrics: ['frechet', 'kernel'] });
  await network.dispose();

  console.log('| figure | value | |\n| --- | ---: | --- |');
  for (const { name, value, unit = '', note } of headlines(evaluation))
    console.log(`| ${name} | ${value}${unit && ` ${unit}`} | ${note} |`);
  const { frechet, kernel } = floor;
  const distances = `${frechet!.distance.toPrecision(3)} and ${kernel!.distance.toPrecision(3)}`;
  console.log(`\n${some.shape[0]} training tiles instead of samples have the distances ${distances}.`);
}

/** Samples, four of each class, each above the training tile that is nearest to it in pixels. */
async function neighborsPicture(): Promise<Uint8Array> {
  const { classes, shape } = pipeline.model;
  const [, height, width] = shape;
  const each = 4;
  const count = each * (classes - 1);
  const samples = await pipeline.sample({
    count,
    class: Array.from({ length: count }, (_, i) => Math.floor(i / each)),
  });
  const { indices } = nearestNeighbors(await pixelRows(samples), await pixelRows(training));
  const nearest = [...indices].map((index) => fromPlanes(training[index].data, { channels: 3, height, width }));
  return encodePng(imageGrid([...toPixels(engine, samples), ...nearest], { columns: count }));
}
