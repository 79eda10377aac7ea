import { Command } from 'commander';
import type { Tensor } from '../core/tensor.ts';
import type { ScaledLora } from '../model/types.ts';
import type { Pipeline, SampleOptions } from '../pipeline.ts';
import type { Device } from '../runtime/types.ts';
import { addLoraFlag, classes, defaultModel, deviceOption, file, number } from './flags.ts';
import { readImages } from './input.ts';
import { withOutputs } from './output.ts';
import { interruptSignal, progressBar } from './progress.ts';

interface InvertFlags {
  model: string;
  out: string;
  reconstruct?: string;
  steps?: number;
  refine?: number;
  class?: (number | string)[];
  batch?: number;
  lora?: ScaledLora[];
  device: Device;
  json?: boolean;
}

const examples = `
Examples:
  $ ddpm-wasm invert shoe.png --out shoe.safetensors
  $ ddpm-wasm sample --start shoe.safetensors --out shoe-again.png
  $ ddpm-wasm invert shoe.png --class Sneaker --out shoe.safetensors --reconstruct shoe-again.png
  $ ddpm-wasm sample --interpolate shoe.safetensors,bag.safetensors --count 8 --columns 8 --out between.png
`;

export function invertCommand(): Command {
  const command = new Command('invert')
    .description('Find the noise that a model makes given images from (DDIM backwards).')
    .argument('<images...>', 'PNG files of the size of the model’s images, or a whole multiple of it')
    .option('--model <model>', 'bundled name, diffusers folder, .onnx file, .ddpm bundle, or URL', defaultModel)
    .requiredOption(
      '--out <file.safetensors>',
      'the noise, as float32 tensor `samples` [n,C,H,W]',
      file('.safetensors'),
    )
    .option('--reconstruct <file.png>', 'sample from the noise again: the images above what came back', file('.png'))
    .option('--steps <n>', 'steps each way (default: 100)', number('--steps'))
    .option('--refine <n>', 'more network calls a step, which make it more exact (default: 1)', number('--refine'))
    .option('--class <list>', 'one class for all or one for each (default: none, where the model knows it)', classes)
    .option('--batch <n>', 'images in one network call', number('--batch'));
  return addLoraFlag(command)
    .addOption(deviceOption())
    .option('--json', 'print one JSON object about the run')
    .addHelpText('after', examples)
    .action((images: string[], flags: InvertFlags) => invert(images, flags));
}

async function invert(files: string[], flags: InvertFlags): Promise<void> {
  const signal = interruptSignal();
  await withOutputs([flags.out, flags.reconstruct], async ([latentFile, png]) => {
    const { loadPipeline } = await import('../pipeline.ts');
    const { inversionOptions, reconstructionOptions } = await import('../sampling/latents.ts');
    const { device, batch, lora } = flags;
    const pipeline = await loadPipeline(flags.model, { device, batch, lora, signal });
    try {
      for (const note of pipeline.notes) if (!flags.json) console.error(`note: ${note}`);
      const { model, engine } = pipeline;
      const images = await readImages(engine, files, model.shape, 'images');
      const { steps, refine, class: labels } = flags;
      const options = { steps, class: labels, signal };
      const there = inversionOptions(model, images, { ...options, refine });
      const latents = await run(pipeline, there, flags);
      const again = png && (await run(pipeline, reconstructionOptions(model, latents, options), flags));

      await latentFile!.finish(await latentBytes(latents));
      if (again) await png.finish(await comparison(pipeline, images, again));
      report(pipeline, flags, { count: files.length, steps: there.steps!, error: again && greyLevels(images, again) });
    } finally {
      await pipeline.dispose();
    }
  });
}

async function run(pipeline: Pipeline, options: SampleOptions, { json = false }: InvertFlags): Promise<Tensor> {
  const { calls } = pipeline.plan(options);
  const bar = await progressBar(calls, json);
  try {
    for await (const { index, x } of pipeline.steps(options)) {
      bar.step(index + 1);
      if (index + 1 === calls) return { data: x.data.slice(), shape: x.shape };
    }
  } finally {
    bar.stop();
  }
  throw new Error('a plan calls the network at least once');
}

async function latentBytes(samples: Tensor): Promise<Uint8Array> {
  const { writeSafetensors } = await import('../onnx/safetensors.ts');
  return writeSafetensors({ samples });
}

/** The images in one row, what came back of them in the next. */
async function comparison({ engine }: Pipeline, images: Tensor, again: Tensor): Promise<Uint8Array> {
  const [{ imageGrid }, { encodePng }, { toPixels }] = await Promise.all([
    import('../image/grid.ts'),
    import('../image/png.ts'),
    import('../image/tensor.ts'),
  ]);
  const both = [...toPixels(engine, images), ...toPixels(engine, again)];
  return encodePng(imageGrid(both, { columns: images.shape[0] }));
}

/** The mean absolute error in grey levels of 0 to 255. */
function greyLevels(images: Tensor, again: Tensor): number {
  const sum = images.data.reduce((total, value, i) => total + Math.abs(value - again.data[i]), 0);
  return (127.5 * sum) / images.data.length;
}

function report(
  { model }: Pipeline,
  { out, reconstruct, json }: InvertFlags,
  { count, steps, error }: { count: number; steps: number; error?: number },
): void {
  if (json) {
    const files = { out, reconstruct };
    console.log(JSON.stringify({ model: model.name, device: model.device, count, steps, greyLevels: error, files }));
    return;
  }
  const images = `${count} ${count === 1 ? 'image' : 'images'}`;
  console.log(`${out}: the noise of ${images} for ${model.name}, ddim-inverse in ${steps} steps`);
  if (error !== undefined)
    console.log(`${reconstruct}: ${images} again, ${error.toFixed(2)} grey levels off on average`);
}
