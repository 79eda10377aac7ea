import { Command, Option } from 'commander';
import { samplers } from '../core/schedulerConfig.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Plan } from '../diffusion/plan.ts';
import type { ScaledLora } from '../model/types.ts';
import type { Pipeline, SampleOptions } from '../pipeline.ts';
import type { Device } from '../runtime/types.ts';
import { addEditFlags, type EditFlags, editOptions } from './edit.ts';
import {
  addLoraFlag,
  addPlanFlags,
  classes,
  defaultModel,
  deviceOption,
  file,
  number,
  type PlanFlags,
  planOptions,
  seed,
} from './flags.ts';
import { withOutputs } from './output.ts';
import { interruptSignal, progressBar } from './progress.ts';

interface SampleFlags extends PlanFlags, EditFlags {
  out?: string;
  raw?: string;
  animate?: string;
  count?: number;
  batch?: number;
  seed?: bigint;
  rng?: SampleOptions['rng'];
  class?: (number | string)[];
  guidance?: number;
  guidanceRescale?: number;
  lora?: ScaledLora[];
  device: Device;
  columns?: number;
  scale?: number;
  json?: boolean;
}

const examples = `
Examples:
  $ ddpm-wasm sample --out samples.png
  $ ddpm-wasm sample --class Sneaker,Bag --count 2 --seed 7 --out pair.png
  $ ddpm-wasm sample ./my-diffusers-model --sampler ddim --steps 50 --out images.png
  $ ddpm-wasm sample --sampler dpm-solver++ --karras --steps 10 --out quick.png
  $ ddpm-wasm sample ./my-diffusers-model --rng torch --seed 0 --raw images.safetensors
  $ ddpm-wasm sample model.onnx --animate denoising.png
  $ ddpm-wasm sample --lora boots.safetensors=0.8 --out boots.png
  $ ddpm-wasm sample --init shoe.png --strength 0.6 --class Sneaker
  $ ddpm-wasm sample --init shoe.png --mask sole.png --sampler ddpm --steps 250 --jump-count 10
  $ ddpm-wasm sample --interpolate 1,2 --count 10 --columns 10
`;

export function sampleCommand(): Command {
  const command = new Command('sample')
    .description('Sample images from a model into a PNG grid.')
    .argument('[model]', 'bundled name, diffusers folder, .onnx file, .ddpm bundle, or URL', defaultModel)
    .option(
      '--out <file.png>',
      'the grid of images (default: samples.png, unless --raw or --animate is given)',
      file('.png'),
    )
    .option('--raw <file.safetensors>', 'the float32 images [count,C,H,W] in [-1,1], unclipped', file('.safetensors'))
    .option(
      '--animate <file.png>',
      'an animated PNG of the steps: the images so far, and what the network takes them to be',
      file('.png', '.apng'),
    )
    .option('--count <n>', 'how many images (default: 16)', number('--count'))
    .option('--batch <n>', 'images in one network call', number('--batch'))
    .option('--seed <n>', 'decides every random number (default: 0)', seed)
    .addOption(
      new Option('--rng <which>', 'random numbers: an own stream an image, or those of torch').choices([
        'philox',
        'torch',
      ]),
    )
    .option('--class <list>', 'one class for all or one for each, by index or name', classes)
    .option('--guidance <g>', 'classifier-free guidance; 0 is off', number('--guidance'))
    .option('--guidance-rescale <phi>', 'take back contrast that guidance adds, 0 to 1', number('--guidance-rescale'));
  // inversion starts from images, which there is no flag for
  const starting = samplers.filter((name) => name !== 'ddim-inverse');
  return addLoraFlag(addEditFlags(addPlanFlags(command, starting)))
    .addOption(deviceOption())
    .option('--columns <n>', 'columns of the grid', number('--columns'))
    .option('--scale <n>', 'enlarge pixels n times', number('--scale'))
    .option('--json', 'print one JSON object about the run')
    .addHelpText('after', examples)
    .action((model: string, flags: SampleFlags) => sample(model, flags));
}

async function sample(source: string, flags: SampleFlags): Promise<void> {
  const out = flags.out ?? (flags.raw || flags.animate ? undefined : 'samples.png');
  const signal = interruptSignal();
  await withOutputs([out, flags.raw, flags.animate], async ([png, raw, animation]) => {
    const { loadPipeline } = await import('../pipeline.ts');
    const { device, batch, lora } = flags;
    const pipeline = await loadPipeline(source, { device, batch, lora, signal });
    try {
      for (const note of pipeline.notes) if (!flags.json) console.error(`note: ${note}`);
      const options = await sampleOptions(pipeline, flags, signal);
      const started = performance.now();
      const { images, plan, animate } = await run(pipeline, flags, { options, animated: animation !== undefined });
      const seconds = (performance.now() - started) / 1000;

      await png?.finish(await gridPng(pipeline, images, flags));
      await raw?.finish(await rawFile(images));
      await animation?.finish(animate());
      const report = summary(pipeline, flags, { plan, count: images.shape[0] });
      const files = { out, raw: flags.raw, animate: flags.animate };
      if (flags.json) console.log(JSON.stringify({ ...report, seconds: Number(seconds.toFixed(3)), files }));
      else console.log(sentence(report, seconds, Object.values(files)));
    } finally {
      await pipeline.dispose();
    }
  });
}

interface RunResult {
  readonly images: Tensor;
  readonly plan: Plan;
  /** The bytes of the animation. */
  animate(): Uint8Array;
}

async function sampleOptions(pipeline: Pipeline, flags: SampleFlags, signal: AbortSignal): Promise<SampleOptions> {
  const { seed, rng, class: classes, guidance, guidanceRescale } = flags;
  // how many is up to the file where there is one of noise
  const count = flags.count ?? (flags.start || flags.interpolate ? undefined : 16);
  const given = { ...planOptions(flags), count, seed, rng, class: classes, guidance, guidanceRescale, signal };
  return editOptions(pipeline, flags, given);
}

/** Walks the plan with a progress bar, keeping frames only where an animation is asked for. */
async function run(
  pipeline: Pipeline,
  flags: SampleFlags,
  { options, animated }: { options: SampleOptions; animated: boolean },
): Promise<RunResult> {
  const plan = pipeline.plan(options);
  const frames = animated ? await createAnimation(pipeline, flags, plan.calls) : undefined;
  const bar = await progressBar(plan.calls, flags.json ?? false);
  try {
    for await (const { index, x, start } of pipeline.steps(options)) {
      bar.step(index + 1);
      frames?.add(index, x, start);
      if (index + 1 < plan.calls) continue;
      const images = { data: x.data.slice(), shape: x.shape };
      return { images, plan, animate: () => frames!.finish() };
    }
  } finally {
    bar.stop();
  }
  throw new Error('a plan calls the network at least once');
}

async function gridPng(pipeline: Pipeline, images: Tensor, { columns, scale }: SampleFlags): Promise<Uint8Array> {
  const [{ imageGrid }, { encodePng }, { toPixels }] = await Promise.all([
    import('../image/grid.ts'),
    import('../image/png.ts'),
    import('../image/tensor.ts'),
  ]);
  return encodePng(imageGrid(toPixels(pipeline.engine, images), { columns, scale }));
}

async function rawFile({ data, shape }: Tensor): Promise<Uint8Array> {
  const { writeSafetensors } = await import('../onnx/safetensors.ts');
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return writeSafetensors({ samples: { dtype: 'F32', shape: [...shape], data: bytes } });
}

/** At most this many frames: a thousand steps would make a film of a minute. */
const maxFrames = 60;

/** Collects frames of the state beside what the network takes the finished images to be. */
async function createAnimation(pipeline: Pipeline, { columns, scale }: SampleFlags, calls: number) {
  const [{ createApng }, { imageGrid }, { toPixels }] = await Promise.all([
    import('../image/apng.ts'),
    import('../image/grid.ts'),
    import('../image/tensor.ts'),
  ]);
  const every = Math.ceil(calls / maxFrames);
  const grid = (images: Tensor) => imageGrid(toPixels(pipeline.engine, images), { columns, scale });
  const film = createApng({ delayMs: 80, lastDelayMs: 2000 });
  return {
    add(index: number, x: Tensor, start: Tensor) {
      if ((calls - 1 - index) % every === 0) film.add(imageGrid([grid(x), grid(start)], { columns: 2, scale: 1 }));
    },
    finish: () => film.finish(),
  };
}

/** What was run, for --json. */
function summary({ model, schedule }: Pipeline, flags: SampleFlags, { plan, count }: { plan: Plan; count: number }) {
  const [channels, height, width] = model.shape;
  return {
    model: model.name,
    device: model.device,
    count,
    shape: [channels, height, width],
    sampler: plan.sampler,
    steps: plan.calls,
    timesteps: plan.timesteps,
    scheduler: schedule.config.className,
    seed: String(flags.seed ?? 0),
    rng: flags.rng ?? 'philox',
    notes: [...model.notes, ...plan.notes],
  };
}

/** What was run, for a person. */
function sentence(report: ReturnType<typeof summary>, seconds: number, files: (string | undefined)[]): string {
  const { count, shape, sampler, steps, seed, model, device } = report;
  const images = `${count} ${count === 1 ? 'image' : 'images'} of ${shape[2]}x${shape[1]}`;
  const names = files.filter((name) => name !== undefined).join(', ');
  return `${names}: ${images} from ${model}, ${sampler} in ${steps} steps, seed ${seed}, ${seconds.toFixed(1)} s on ${device}`;
}
