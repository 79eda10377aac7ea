import path from 'node:path';
import { Command, Option } from 'commander';
import { DdpmError, wrongValue } from '../core/errors.ts';
import type { FoundModel } from '../model/find.ts';
import type { ModelFiles } from '../model/folder.ts';
import type { ScaledLora } from '../model/types.ts';
import { type Converted, writeBundle, writeFolder, writeGraph } from './convertOutput.ts';
import { addLoraFlag, file } from './flags.ts';

interface ConvertFlags {
  out: string;
  dtype?: 'fp32' | 'fp16';
  card?: string;
  preview?: string;
  lora?: ScaledLora[];
  json?: boolean;
}

const examples = `
Examples:
  $ ddpm-wasm convert ./my-diffusers-model --out ./converted
  $ ddpm-wasm convert ./my-diffusers-model --out model.onnx --dtype fp16
  $ ddpm-wasm convert ./my-diffusers-model --out model.ddpm --card README.md --preview samples.png
  $ ddpm-wasm convert fashion --lora boots.safetensors --out ./boots
  $ ddpm-wasm convert fashion --out fashion.ddpm
  $ ddpm-wasm convert fashion.ddpm --out ./unpacked
`;

export function convertCommand(): Command {
  const command = new Command('convert')
    .description(
      'Turn a diffusers UNet2DModel checkpoint into an ONNX model, without Python, or a model into one file.',
    )
    .argument('<model>', 'a diffusers folder; for a bundle any model; or a bundle; or a URL of one')
    .requiredOption(
      '--out <path>',
      'a folder for the model, an .onnx file whose configs go beside it, or a .ddpm bundle of all',
    )
    .addOption(new Option('--dtype <type>', 'how weights are stored (default: fp32)').choices(['fp32', 'fp16']))
    .option('--card <file.md>', "the bundle's model card (default: README.md in the model's folder)", file('.md'))
    .option('--preview <file.png>', "the bundle's picture (default: samples.png in the model's folder)", file('.png'));
  return addLoraFlag(command)
    .option('--json', 'print one JSON object about the model')
    .addHelpText('after', examples)
    .action(convert);
}

async function convert(source: string, { out, dtype, card, preview, lora, json }: ConvertFlags): Promise<void> {
  const format = path.extname(out).toLowerCase();
  for (const [key, value] of Object.entries({ card, preview }))
    if (value !== undefined && format !== '.ddpm') throw wrongValue(key, 'an --out that ends in .ddpm', out);
  const { findModel } = await import('../model/find.ts');
  const found = await findModel(source);
  const { files: merged, notes: assumed } = await withLora(found, lora);
  if (merged.network.kind === 'onnx' && !merged.bundle && format !== '.ddpm')
    throw new DdpmError('model-invalid', `${source}: it is an ONNX model already`);
  const { notes, facts, ...graph } = await graphOf(merged, dtype);

  const model = { ...found, ...graph };
  const write = { '.ddpm': writeBundle, '.onnx': writeGraph }[format] ?? writeFolder;
  const { file: written, bytes, files, kept } = await write(model, out, { card, preview });
  const all = [...assumed, ...notes, ...kept.map((file) => `${file} is another one already and was left as it is`)];
  if (json) console.log(JSON.stringify({ out: written, bytes, dtype: graph.dtype, ...facts, files, notes: all }));
  else {
    for (const note of all) console.error(`note: ${note}`);
    const size = `${(bytes / 1e6).toFixed(2)} MB of ${graph.dtype}`;
    console.log(`${written}: ${size}${facts.shape ? `, images of ${facts.shape.join('x')}` : ''}`);
  }
}

/** The model with what is to be merged into its weights. */
async function withLora({ name, files }: FoundModel, lora: ScaledLora[] | undefined) {
  if (!lora) return { files, notes: [] };
  const { mergeLoras } = await import('../model/lora.ts');
  return mergeLoras(files, lora, { name });
}

interface Graph extends Pick<Converted, 'onnx' | 'dtype'> {
  readonly notes: readonly string[];
  /** What making it told. */
  readonly facts: { readonly shape?: readonly number[]; readonly classes?: number | null };
}

/** The ONNX file of a model: made of a checkpoint, or the one that it has. */
async function graphOf({ network, config }: ModelFiles, dtype: ConvertFlags['dtype']): Promise<Graph> {
  if (network.kind === 'checkpoint') {
    const { convertCheckpoint } = await import('../onnx/convert.ts');
    const { bytes, shape, classes, notes } = convertCheckpoint({ config, weights: network.tensors, dtype });
    return { onnx: bytes, dtype: dtype ?? 'fp32', notes, facts: { shape, classes } };
  }
  if (dtype !== undefined) throw wrongValue('dtype', 'none, as an ONNX graph is kept as it is', dtype);
  const { name, bytes, externalData } = network;
  if (externalData.length > 0)
    throw new DdpmError('model-invalid', `${name}: expected all weights in it, got some in ${externalData[0].path}`);
  const { weightTypeOf } = await import('../onnx/weightType.ts');
  return { onnx: bytes, dtype: weightTypeOf(bytes), notes: [], facts: {} };
}
