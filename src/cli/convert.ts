import { mkdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { Command, Option } from 'commander';
import { bundledModel, kindOf } from '#runtime';
import { DdpmError, wrongValue } from '../core/errors.ts';
import type { MergedFiles } from '../model/lora.ts';
import type { ScaledLora } from '../model/types.ts';
import { addLoraFlag } from './flags.ts';
import { withOutputs } from './output.ts';

interface ConvertFlags {
  out: string;
  dtype: 'fp32' | 'fp16';
  lora?: ScaledLora[];
  json?: boolean;
}

const examples = `
Examples:
  $ ddpm-wasm convert ./my-diffusers-model --out ./converted
  $ ddpm-wasm convert ./my-diffusers-model --out model.onnx --dtype fp16
  $ ddpm-wasm convert fashion --lora boots.safetensors --out ./boots
`;

export function convertCommand(): Command {
  const command = new Command('convert')
    .description('Turn a diffusers UNet2DModel checkpoint into an ONNX model, without Python.')
    .argument('<checkpoint>', 'a diffusers folder: config.json and safetensors weights, or URL of one')
    .requiredOption('--out <path>', 'a folder for the model, or an .onnx file whose configs go beside it')
    .addOption(new Option('--dtype <type>', 'how weights are stored').choices(['fp32', 'fp16']).default('fp32'));
  return addLoraFlag(command)
    .option('--json', 'print one JSON object about the model')
    .addHelpText('after', examples)
    .action(convert);
}

async function convert(source: string, { out, dtype, lora, json }: ConvertFlags): Promise<void> {
  const isFile = out.toLowerCase().endsWith('.onnx');
  if (!isFile && path.extname(out) === '.ddpm') throw wrongValue('out', 'a folder or a file ending in .onnx', out);
  const { files, notes: assumed } = await checkpointOf(source, lora);
  const { config, schedulerConfig, labels, sampling, network } = files;
  const { convertCheckpoint } = await import('../onnx/convert.ts');
  const model = convertCheckpoint({ config, weights: network.tensors, dtype });

  const folder = isFile ? path.dirname(out) : out;
  if (!isFile) await makeFolder(out);
  const described = {
    'config.json': config,
    'scheduler_config.json': schedulerConfig,
    'labels.json': labels,
    'sampling.json': sampling,
  };
  const texts = Object.entries(described)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ({ file: path.join(folder, name), content: `${JSON.stringify(value, null, 2)}\n` }));
  const graph = isFile ? out : path.join(out, 'model.onnx');
  const { written, kept } = await writeAll([...texts, { file: graph, content: model.bytes }], isFile);

  const notes = [
    ...assumed,
    ...model.notes,
    ...kept.map((file) => `${file} is another one already and was left as it is`),
  ];
  const report = { out: graph, bytes: model.bytes.length, dtype, shape: model.shape, classes: model.classes };
  if (json) console.log(JSON.stringify({ ...report, files: written, notes }));
  else {
    for (const note of notes) console.error(`note: ${note}`);
    const size = (model.bytes.length / 1e6).toFixed(2);
    console.log(`${graph}: ${size} MB of ${dtype}, images of ${model.shape.join('x')}`);
  }
}

/** The checkpoint of a diffusers folder or, with something to merge into it, of any model whose weights have names. */
async function checkpointOf(source: string, lora: ScaledLora[] | undefined): Promise<MergedFiles> {
  const kind = await kindOf((await bundledModel(source)) ?? source);
  if (kind === 'missing' || (kind === 'file' && !lora))
    throw new DdpmError('model-not-found', `${source}: expected a folder with config.json and safetensors weights`);
  const { findModel } = await import('../model/find.ts');
  const { name, files } = await findModel(source);
  if (lora) {
    const { mergeLoras } = await import('../model/lora.ts');
    return mergeLoras(files, lora, { name });
  }
  const { network } = files;
  if (network.kind === 'onnx') throw new DdpmError('model-invalid', `${source}: it is an ONNX model already`);
  return { files: { ...files, network }, notes: [] };
}

/** Writes files whole; beside an .onnx file, a config of the user's that says something else is left alone. */
async function writeAll(files: { file: string; content: Uint8Array | string }[], careful: boolean) {
  const kept: string[] = [];
  for (const { file, content } of files) {
    if (!careful || typeof content !== 'string') continue;
    const there = await readFile(file, 'utf8').catch(() => undefined);
    if (there !== undefined && there !== content) kept.push(file);
  }
  const chosen = files.filter(({ file }) => !kept.includes(file));
  await withOutputs(
    chosen.map(({ file }) => file),
    async (outputs) => {
      for (const [i, output] of outputs.entries()) await output?.finish(chosen[i].content);
    },
  );
  return { written: chosen.map(({ file }) => file), kept };
}

async function makeFolder(folder: string): Promise<void> {
  const parent = path.dirname(path.resolve(folder));
  if (!(await stat(parent).catch(() => undefined))?.isDirectory())
    throw new DdpmError('output-failed', `cannot write ${folder}: the folder ${parent} does not exist`);
  await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'EEXIST' ? 'it is a file' : error.message;
    throw new DdpmError('output-failed', `cannot write ${folder}: ${why}`);
  });
}
