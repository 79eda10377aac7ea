import path from 'node:path';
import { exists, listFiles, tryRead, writeFile } from '#runtime';
import { wrongValue } from '../core/errors.ts';
import { parseUNetConfig } from '../core/unetConfig.ts';
import type { Engine } from '../engine/engine.ts';
import { listCheckpoints } from '../train/checkpoint.ts';
import { writeDiffusersFolder } from '../train/diffusers.ts';
import type { SamplesEvent } from '../train/events.ts';
import type { TrainedModel } from '../train/types.ts';

/** The folder of a training run: every file in it is whole at any moment, whatever happens to the process. */
export interface RunFolder {
  readonly place: string;
  readonly checkpoints: string;
  /** The name of the newest checkpoint at the beginning, if there is one. */
  readonly newest: string | undefined;
  /** The place of a file. */
  file(name: string): string;
  write(name: string, content: string): Promise<void>;
  /** The model as diffusers and every command here read it; where a LoRA is trained, that by itself in lora/. */
  writeModel(model: TrainedModel): Promise<void>;
  writeSheet(event: SamplesEvent, engine: Engine): Promise<void>;
  /** The steps of which there are sheets, ascending. */
  sheets(): Promise<readonly number[]>;
  readSheet(step: number): Promise<Uint8Array | undefined>;
}

/** Opens a folder for a run that goes on from what is in it, or that nothing in it belongs to. */
export async function openRunFolder(place: string, { resume }: { readonly resume: boolean }): Promise<RunFolder> {
  const file = (name: string) => path.join(place, name);
  const checkpoints = file('checkpoints');
  const newest = (await listCheckpoints(checkpoints)).at(-1);
  if (newest !== undefined && !resume)
    throw wrongValue('out', 'a folder without checkpoints, or --resume to go on from those there', place);
  // a model that no checkpoint here leads to is somebody's, and stays
  const models = ['config.json', 'model_index.json', 'diffusion_pytorch_model.safetensors'];
  if (newest === undefined && (await Promise.all(models.map((name) => exists(file(name))))).includes(true))
    throw wrongValue('out', 'a folder that holds no model without checkpoints', place);
  return {
    ...{ place, checkpoints, newest, file },
    write: (name, content) => writeFile(file(name), new TextEncoder().encode(content)),
    async writeModel({ config, parameters, labels, lora = new Map() }) {
      const network = parseUNetConfig({ _class_name: 'UNet2DModel', ...config.model }).config;
      const files = writeDiffusersFolder({ config: network, scheduler: config.schedule, parameters, labels });
      files.set('sampling.json', new TextEncoder().encode(`${JSON.stringify(sampling)}\n`));
      for (const [name, bytes] of files) await writeFile(file(name), bytes);
      for (const [name, bytes] of lora) await writeFile(file(`lora/${name}`), bytes);
    },
    async writeSheet(event, engine) {
      const png = await sheetPng(event, engine);
      if (png) await writeFile(file(sheetName(event.step)), png);
    },
    async sheets() {
      const names = (await listFiles(file('samples'))) ?? [];
      const steps = names.map((name) => Number(/^step-(\d{6,})\.png$/.exec(name)?.[1]));
      return steps.filter(Number.isInteger).sort((a, b) => a - b);
    },
    readSheet: (step) => tryRead(file(sheetName(step))),
  };
}

// as the sheets are made: the thousand steps of a DDPM show little more
const sampling = { sampler: 'ddim', steps: 50, eta: 1 };

function sheetName(step: number): string {
  return `samples/step-${String(step).padStart(6, '0')}.png`;
}

/** The samples as a grid; none of images with a number of channels that no picture has. */
async function sheetPng({ images }: SamplesEvent, engine: Engine): Promise<Uint8Array | undefined> {
  if (![1, 3, 4].includes(images.shape[1])) return undefined;
  const [{ imageGrid }, { encodePng }, { toPixels }] = await Promise.all([
    import('../image/grid.ts'),
    import('../image/png.ts'),
    import('../image/tensor.ts'),
  ]);
  return encodePng(imageGrid(toPixels(engine, images), { background: 128 }));
}
