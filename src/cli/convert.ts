import { mkdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { Command, Option } from 'commander';
import { kindOf } from '#runtime';
import { DdpmError, wrongValue } from '../core/errors.ts';
import { withOutputs } from './output.ts';

interface ConvertFlags {
  out: string;
  dtype: 'fp32' | 'fp16';
  json?: boolean;
}

const examples = `
Examples:
  $ ddpm-wasm convert ./my-diffusers-model --out ./converted
  $ ddpm-wasm convert ./my-diffusers-model --out model.onnx --dtype fp16
`;

export function convertCommand(): Command {
  return new Command('convert')
    .description('Turn a diffusers UNet2DModel checkpoint into an ONNX model, without Python.')
    .argument('<checkpoint>', 'a diffusers folder: config.json and safetensors weights, or URL of one')
    .requiredOption('--out <path>', 'a folder for the model, or an .onnx file whose configs go beside it')
    .addOption(new Option('--dtype <type>', 'how weights are stored').choices(['fp32', 'fp16']).default('fp32'))
    .option('--json', 'print one JSON object about the model')
    .addHelpText('after', examples)
    .action(convert);
}

async function convert(source: string, { out, dtype, json }: ConvertFlags): Promise<void> {
  const isFile = out.toLowerCase().endsWith('.onnx');
  if (!isFile && path.extname(out) === '.ddpm') throw wrongValue('out', 'a folder or a file ending in .onnx', out);
  const [{ readFolder }, { convertCheckpoint }] = await Promise.all([
    import('../model/folder.ts'),
    import('../onnx/convert.ts'),
  ]);
  if ((await kindOf(source)) !== 'folder')
    throw new DdpmError('model-not-found', `${source}: expected a folder with config.json and safetensors weights`);
  const { network, config, schedulerConfig, labels, sampling } = await readFolder({ place: source });
  if (network.kind === 'onnx') throw new DdpmError('model-invalid', `${source}: it is an ONNX model already`);
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

  const notes = [...model.notes, ...kept.map((file) => `${file} is another one already and was left as it is`)];
  const report = { out: graph, bytes: model.bytes.length, dtype, shape: model.shape, classes: model.classes };
  if (json) console.log(JSON.stringify({ ...report, files: written, notes }));
  else {
    for (const note of notes) console.error(`note: ${note}`);
    const size = (model.bytes.length / 1e6).toFixed(2);
    console.log(`${graph}: ${size} MB of ${dtype}, images of ${model.shape.join('x')}`);
  }
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
