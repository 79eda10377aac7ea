import fc from 'fast-check';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, it, onTestFinished, test } from 'vitest';
import { sizeOf, type Tensor } from '../../src/core/tensor.ts';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { gradients } from '../../src/onnx/gradients.ts';
import { GraphBuilder } from '../../src/onnx/graph.ts';
import { Layers } from '../../src/onnx/layers.ts';
import { VectorParameters } from '../../src/onnx/parameters.ts';
import { asStored, type StoredTensor } from '../../src/onnx/safetensors.ts';
import { buildUNet, unetForward, unetParameters } from '../../src/onnx/unet2d.ts';
import { type ParsedTraining, parseTrainingConfig } from '../../src/train/config.ts';
import type { TrainingInput } from '../../src/train/configSchema.ts';
import { type Trainable, trainableOf } from '../../src/train/trainable.ts';
import { configs } from '../onnx/configs.ts';
import { relativeError } from '../onnx/finiteDifferences.ts';
import { distance, largest, predict, randomWeights, uniform } from '../onnx/support.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

const tiny = {
  ...{ sample_size: 8, in_channels: 2, out_channels: 2, block_out_channels: [8, 12], layers_per_block: 1 },
  ...{ norm_num_groups: 4, attention_head_dim: 4 },
  ...{ down_block_types: ['DownBlock2D', 'AttnDownBlock2D'], up_block_types: ['AttnUpBlock2D', 'UpBlock2D'] },
};
const everyKind = ['*.to_q', '*.to_out.0', '*.conv1', '*.conv_shortcut', '*time_emb_proj', 'conv_in', 'conv_out'];
const parse = (json: object, model: object = tiny) => parseTrainingConfig({ model, ...json } as TrainingInput);

function weightsOf({ network }: ParsedTraining, seed = 1): Map<string, StoredTensor> {
  const { get, tensors } = randomWeights(seed);
  for (const [name, shape] of unetParameters(network)) get(name, [...shape]);
  return tensors;
}

/** A vector of random numbers, of order one where they are multiplied by others. */
const randomVector = (size: number, seed: number) => Float32Array.from({ length: size }, uniform(seed));

const labels = [2, 1];
const inputs = (parsed: ParsedTraining) => {
  const { inChannels, sampleSize } = parsed.network;
  const shape = [2, inChannels, ...sampleSize!];
  const random = uniform(9);
  return { x: { data: Float32Array.from({ length: sizeOf(shape) }, () => 2 * random()), shape }, times: [7, 30] };
};

/** The training graph: from a vector the network's output, its mean square and, if asked for, the gradient of that. */
async function openGraph(parsed: ParsedTraining, trainable: Trainable, backward = true) {
  const { x, times } = inputs(parsed);
  const g = new GraphBuilder('loss');
  const size = trainable.initial.length;
  const parameters = new VectorParameters(g, g.input('parameters', 'float32', [size]), trainable.trained);
  const sample = g.input('sample', 'float32', x.shape);
  const timestep = g.input('timestep', 'float32', [2]);
  const conditional = parsed.network.numClassEmbeds !== null || parsed.network.classEmbedType !== null;
  const classLabels = conditional ? g.input('labels', 'int64', [2]) : undefined;
  const net = new Layers(g, trainable.source(g, parameters), parsed.network);
  const output = unetForward(net, { sample, timestep, classLabels }).value;
  const loss = g.op('ReduceMean', [g.op('Mul', [output, output])], { keepdims: 0 });
  const gradient = backward && parameters.join(gradients(g, loss, parameters.values));
  if (gradient) g.output('gradient', 'float32', [size], gradient);
  g.output('out', 'float32', [2, parsed.network.outChannels, ...x.shape.slice(2)], output);
  const session = await InferenceSession.create(g.toBytes(), { logSeverityLevel: 3, intraOpNumThreads: 1 });
  onTestFinished(() => session.release());
  return async (vector: Float32Array) => {
    const results = await session.run({
      parameters: new OrtTensor('float32', vector, [size]),
      sample: new OrtTensor('float32', x.data, [...x.shape]),
      timestep: new OrtTensor('float32', Float32Array.from(times), [2]),
      ...(conditional && { labels: new OrtTensor('int64', BigInt64Array.from(labels, BigInt), [2]) }),
    });
    return { output: results.out.data as Float32Array, gradient: results.gradient?.data as Float32Array };
  };
}

/** The output of the network that is evaluated and saved. */
function runMerged(parsed: ParsedTraining, parameters: ReadonlyMap<string, Tensor>) {
  const { x, times } = inputs(parsed);
  const stored = new Map([...parameters].map(([name, tensor]) => [name, asStored(tensor)]));
  const model = buildUNet(parsed.network, stored);
  return predict(model.bytes, x, times, model.conditional ? labels : null);
}

describe('what is trained', () => {
  it('is every parameter by default, from the numbers that the seed draws', async () => {
    const parsed = parse({ seed: 3 });
    const trainable = trainableOf(engine, parsed);
    expect(trainable.trained).toEqual(unetParameters(parsed.network));
    expect(trainableOf(engine, parsed).initial).toEqual(trainable.initial);
    expect(trainableOf(engine, parse({ seed: 4 })).initial).not.toEqual(trainable.initial);
    const vector = randomVector(trainable.initial.length, 5);
    const parameters = trainable.parameters(vector);
    expect([...parameters.values()].flatMap(({ data }) => [...data])).toEqual([...vector]);
    vector.fill(0);
    expect(parameters.get('conv_in.weight')!.data.some((x) => x !== 0)).toBe(true);
  });

  it('is none of Fourier frequencies, but a learned table of timesteps', () => {
    const fourier = { ...tiny, time_embedding_type: 'fourier' };
    const [fixed, learned] = [fourier, { ...tiny, time_embedding_type: 'learned', num_train_timesteps: 50 }].map(
      (model) => trainableOf(engine, parse({}, model)),
    );
    expect([fixed.trained.has('time_proj.weight'), learned.trained.has('time_proj.weight')]).toEqual([false, true]);
    expect(() => parse({ freeze: ['conv*', 'time_embedding.*', '*_block*'] }, fourier)).toThrow(
      '"freeze" expected patterns that leave a parameter to train',
    );
    expect(fixed.parameters(fixed.initial).get('time_proj.weight')!.data.length).toBe(8);
  });

  it('is not what freeze names: that stays bit for bit, is a constant of the graph, and the rest has its gradient', async () => {
    const all = parse({});
    const some = parse({ freeze: ['down_blocks.*', '*.bias'] });
    const base = weightsOf(all);
    const [whole, partial] = [all, some].map((parsed) => trainableOf(engine, parsed, base));
    const names = [...whole.trained.keys()];
    const kept = names.filter((name) => !name.startsWith('down_blocks.') && !name.endsWith('.bias'));
    expect([...partial.trained.keys()]).toEqual(kept);

    const vector = partial.initial.map((x, i) => x + 0.01 * Math.sin(i));
    const parameters = partial.parameters(vector);
    expect([...parameters.keys()]).toEqual(names);
    for (const [name, { data }] of parameters) {
      const before = new Float32Array(base.get(name)!.data.buffer);
      expect(distance(data, before) === 0, name).toBe(!kept.includes(name));
    }
    const flat = Float32Array.from([...parameters.values()].flatMap(({ data }) => [...data]));
    const full = await (await openGraph(all, whole))(flat);
    const part = await (await openGraph(some, partial))(vector);
    expect(distance(part.output, full.output)).toBeLessThan(1e-5 * largest(full.output));
    const expected: number[] = [];
    let offset = 0;
    for (const [name, shape] of whole.trained) {
      if (kept.includes(name)) expected.push(...full.gradient.subarray(offset, offset + sizeOf(shape)));
      offset += sizeOf(shape);
    }
    expect(relativeError(part.gradient, expected)).toBeLessThan(1e-4);
  });

  it('needs the parameters of the model that the config starts from', () => {
    const parsed = parse({ from: 'x' });
    expect(() => trainableOf(engine, parsed)).toThrow('"base" expected the parameters of the model of "from"');
    const base = weightsOf(parsed);
    base.delete('conv_in.bias');
    expect(() => trainableOf(engine, parsed, base)).toThrow('parameter "conv_in.bias" expected shape [8], got no such');
  });
});

describe('a LoRA', () => {
  const lora = { rank: 2, alpha: 3, targets: everyKind };
  const adapted = () => {
    const parsed = parse({ from: 'x', lora });
    return { parsed, base: weightsOf(parsed), trainable: trainableOf(engine, parsed, weightsOf(parsed)) };
  };

  it('trains two matrices a layer, A with the layer’s kernel, B as wide as its output', () => {
    const { trained } = adapted().trainable;
    const shapes = (layer: string) => ['A', 'B'].map((which) => trained.get(`${layer}.lora_${which}.weight`));
    expect(shapes('mid_block.attentions.0.to_q')).toEqual([
      [2, 12],
      [12, 2],
    ]);
    expect(shapes('down_blocks.1.resnets.0.conv1')).toEqual([
      [2, 8, 3, 3],
      [12, 2, 1, 1],
    ]);
    expect(shapes('down_blocks.1.resnets.0.conv_shortcut')).toEqual([
      [2, 8, 1, 1],
      [12, 2, 1, 1],
    ]);
    expect(shapes('conv_norm_out')).toEqual([undefined, undefined]);
    expect([...trained.keys()].every((name) => /\.lora_[AB]\.weight$/.test(name))).toBe(true);
  });

  it('begins with B zero, A even in +-1/sqrt(inputs) by the seed, and the base network bit for bit', async () => {
    const { parsed, base, trainable } = adapted();
    const { initial, trained } = trainable;
    let offset = 0;
    const units: number[] = [];
    for (const [name, shape] of trained) {
      const part = initial.subarray(offset, offset + sizeOf(shape));
      offset += sizeOf(shape);
      if (name.endsWith('B.weight')) expect(largest(part)).toBe(0);
      else units.push(...part.map((x) => x * Math.sqrt(sizeOf(shape.slice(1)))));
    }
    expect(largest(units)).toBeLessThanOrEqual(1 + 1e-6);
    const deviation = Math.sqrt(units.reduce((sum, x) => sum + x * x, 0) / units.length);
    expect(Math.abs(deviation - Math.sqrt(1 / 3))).toBeLessThan(4 / Math.sqrt(3 * units.length));
    expect(trainableOf(engine, parse({ from: 'x', lora, seed: 1 }), base).initial).not.toEqual(initial);

    const merged = trainable.parameters(initial);
    for (const [name, { data }] of merged)
      expect(Buffer.compare(asStored({ data, shape: [] }).data, base.get(name)!.data)).toBe(0);
    const { output } = await (await openGraph(parsed, trainable, false))(initial);
    expect(distance(output, await runMerged(parsed, merged))).toBeLessThan(1e-5 * largest(output));
  });

  it('has gradients that equal finite differences within 1e-3 of their rms, those of A zero while B is', async () => {
    const { parsed, trainable } = adapted();
    const vector = randomVector(trainable.initial.length, 2).map((x) => 0.5 * x);
    const graph = await openGraph(parsed, trainable);
    const { gradient } = await graph(vector);
    const forward = await openGraph(parsed, trainable, false);
    // along random directions within one matrix at a time
    const random = uniform(4);
    const [slopes, expected]: number[][] = [[], []];
    let offset = 0;
    for (const [, shape] of trainable.trained) {
      const size = sizeOf(shape);
      const direction = Float32Array.from({ length: size }, random);
      const at = async (h: number) => {
        const moved = vector.slice();
        for (let i = 0; i < size; i++) moved[offset + i] += h * direction[i];
        const { output } = await forward(moved);
        return output.reduce((sum, y) => sum + y * y, 0) / output.length;
      };
      const h = 0.02;
      expected.push((8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h));
      slopes.push(direction.reduce((sum, d, i) => sum + d * gradient[offset + i], 0));
      offset += size;
    }
    expect(relativeError(slopes, expected)).toBeLessThan(1e-3);

    const first = await graph(trainable.initial);
    offset = 0;
    for (const [name, shape] of trainable.trained) {
      const part = first.gradient.subarray(offset, offset + sizeOf(shape));
      expect(largest(part) > 0, name).toBe(name.endsWith('B.weight'));
      offset += sizeOf(shape);
    }
  });
});

test('random networks: a LoRA of all layers merged gives the output of the training graph within 1e-5', async () => {
  await fc.assert(
    fc.asyncProperty(configs, fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (raw, seed) => {
      const model = JSON.parse(JSON.stringify({ ...raw, out_channels: raw.in_channels }));
      const parsed = parse({ from: 'x', classDropout: 0, lora: { rank: 1, alpha: 0.7, targets: ['*'] } }, model);
      const trainable = trainableOf(engine, parsed, weightsOf(parsed, seed));
      const vector = randomVector(trainable.initial.length, seed + 1);
      const { output } = await (await openGraph(parsed, trainable, false))(vector);
      const merged = await runMerged(parsed, trainable.parameters(vector));
      expect(distance(output, merged)).toBeLessThan(1e-5 * largest(merged));
    }),
    { numRuns: 15, seed: 8, endOnFailure: true },
  );
});
