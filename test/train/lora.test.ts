import { beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { mergeLora, readLora } from '../../src/onnx/lora.ts';
import { todaysParameters } from '../../src/onnx/namedParameters.ts';
import { asStored, readSafetensors } from '../../src/onnx/safetensors.ts';
import { parseTrainingConfig } from '../../src/train/config.ts';
import { initializeParameters } from '../../src/train/initialize.ts';
import { lowRankLayers, writeLora } from '../../src/train/lora.ts';
import { trainableOf } from '../../src/train/trainable.ts';
import { uniform } from '../onnx/support.ts';

const model = {
  ...{
    sample_size: 8,
    in_channels: 1,
    out_channels: 1,
    block_out_channels: [8],
    layers_per_block: 1,
    norm_num_groups: 4,
  },
  ...{ attention_head_dim: null, num_class_embeds: 3, time_embedding_type: 'learned', num_train_timesteps: 9 },
  ...{ down_block_types: ['DownBlock2D'], up_block_types: ['UpBlock2D'] },
} as const;
const targets = ['*.to_k', '*.conv2', '*.linear_1'];
const parsed = parseTrainingConfig({ model, from: 'shoes', lora: { rank: 3, alpha: 2, targets } });
const lora = parsed.config.lora!;

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

function tuned() {
  const base = initializeParameters(engine, parsed.network, { seed: 1, zero: false });
  const trainable = trainableOf(engine, parsed, base);
  const vector = Float32Array.from(trainable.initial, uniform(6));
  return { base, trainable, vector, files: writeLora({ lora, trained: trainable.trained, vector, base: 'shoes' }) };
}

describe('a LoRA that is saved', () => {
  it('has the tensors of peft under its names, those of the vector bit for bit', () => {
    const { trainable, vector, files } = tuned();
    const tensors = readSafetensors(files.get('adapter_model.safetensors')!);
    const names = [...trainable.trained.keys()];
    expect([...tensors.keys()].sort()).toEqual(names.map((name) => `base_model.model.${name}`).sort());
    expect(names).toContain('down_blocks.0.resnets.0.conv2.lora_A.weight');
    const bytes = names.flatMap((name) => [...tensors.get(`base_model.model.${name}`)!.data]);
    expect(bytes).toEqual([...new Uint8Array(vector.buffer)]);
    expect(tensors.get('base_model.model.time_embedding.linear_1.lora_B.weight')!.shape).toEqual([32, 3]);
  });

  it('has an adapter_config.json that names the layers, and says the same in its own metadata', () => {
    const { files } = tuned();
    const config = JSON.parse(new TextDecoder().decode(files.get('adapter_config.json')));
    expect(config).toMatchObject({
      ...{ peft_type: 'LORA', r: 3, lora_alpha: 2, bias: 'none', base_model_name_or_path: 'shoes', task_type: null },
    });
    expect(config.target_modules).toEqual([
      'time_embedding.linear_1',
      'down_blocks.0.resnets.0.conv2',
      ...['mid_block.resnets.0.conv2', 'mid_block.attentions.0.to_k', 'mid_block.resnets.1.conv2'],
      ...['up_blocks.0.resnets.0.conv2', 'up_blocks.0.resnets.1.conv2'],
    ]);
    const alone = readLora(files.get('adapter_model.safetensors')!);
    expect(readLora(files.get('adapter_model.safetensors')!, { config })).toEqual(alone);
    expect([alone.notes, ...[...alone.layers.values()].map(({ scale }) => scale)]).toEqual([
      [],
      ...Array(7).fill(2 / 3),
    ]);
  });

  it('read back and merged is the network that was trained, bit for bit', () => {
    const { base, trainable, vector, files } = tuned();
    const { parameters } = todaysParameters(parsed.network, base);
    const merged = mergeLora(parameters, readLora(files.get('adapter_model.safetensors')!));
    const trained = trainable.parameters(vector);
    expect([...merged.keys()]).toEqual([...trained.keys()]);
    for (const [name, tensor] of trained) expect(Buffer.compare(asStored(tensor).data, merged.get(name)!.data)).toBe(0);
    const changed = [...merged].filter(([name, tensor]) => tensor !== parameters.get(name));
    expect(changed.length).toBe(7);
  });

  it('is refused for a vector of another length', () => {
    const { trained } = tuned().trainable;
    expect(() => writeLora({ lora, trained, vector: new Float32Array(5) })).toThrow('"vector" expected');
  });
});

it('tables that are looked up in, norms and biases have no low rank', () => {
  const layers = [...lowRankLayers(trainableOf(engine, parseTrainingConfig({ model })).trained).keys()];
  expect(layers.filter((name) => /norm|class_embedding|time_proj/.test(name))).toEqual([]);
  expect(layers).toContain('conv_in');
  expect(() => parseTrainingConfig({ model, from: 'x', lora: { rank: 1, targets: ['class_embedding'] } })).toThrow(
    '"lora.targets.0" expected a pattern that some layer of the network has, got "class_embedding"',
  );
});
