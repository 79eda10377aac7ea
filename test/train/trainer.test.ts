import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mergeLora, readLora } from '../../src/onnx/lora.ts';
import { toFloat32 } from '../../src/onnx/safetensors.ts';
import { loadBase } from '../../src/train/base.ts';
import type { TrainingInput } from '../../src/train/configSchema.ts';
import { train } from '../../src/train/trainer.ts';
import type { TrainingData } from '../../src/train/trainingData.ts';
import { finish, memoryStore, ofType, squares, tinyConfig, vectorOf } from './trainSupport.ts';

// threads run the built package
const file = new URL('../../dist/train/trainer.js', import.meta.url);
const built: { train: typeof train } | undefined = existsSync(file) ? await import(file.href) : undefined;

const data = squares(64);

describe('training', () => {
  it('lowers the loss of small pictures to a third within 150 steps, on images held out too', async () => {
    const config = tinyConfig(150, { evaluation: { every: 75, images: 16 }, data: { holdOut: 0.25 } });
    const { events, model } = await finish(train(config, { data }));
    const steps = ofType(events, 'step');
    const mean = (from: number, to: number) =>
      steps.slice(from, to).reduce((sum, { loss }) => sum + loss, 0) / (to - from);
    expect(steps).toHaveLength(150);
    expect(mean(140, 150)).toBeLessThan(mean(0, 10) / 3);
    const [half, end] = ofType(events, 'evaluation');
    expect([half.step, end.step]).toEqual([75, 150]);
    expect(end.heldOut.count).toBe(16);
    expect(end.heldOut.mean).toBeLessThan(half.heldOut.mean);
    expect(model).toMatchObject({ step: 150, complete: true, labels: { labels: ['high', 'low'], unconditional: 2 } });
  });

  it('gives the same bytes when it is repeated', async () => {
    const [a, b] = [await finish(train(tinyConfig(12), { data })), await finish(train(tinyConfig(12), { data }))];
    expect(vectorOf(a.model)).toEqual(vectorOf(b.model));
    const other = await finish(train(tinyConfig(12, { seed: 4 }), { data }));
    expect(vectorOf(other.model)).not.toEqual(vectorOf(a.model));
  });

  it.each([1, 2, 7, 11])(
    'stopped after step %i of 12 and resumed, gives the bytes of a run that was not',
    async (stop) => {
      const config = tinyConfig(12, { checkpoints: { every: 5 }, accumulation: 2, data: { flip: true } });
      const whole = await finish(train(config, { data }));
      const checkpoints = memoryStore();
      const first = new AbortController();
      const run = train(config, { data, checkpoints, signal: first.signal });
      let next = await run.next();
      for (; !next.done; next = await run.next())
        if (next.value.type === 'step' && next.value.step === stop) first.abort();
      expect(next.value).toMatchObject({ step: stop, complete: false });
      const { events, model } = await finish(train(config, { data, checkpoints, resume: true }));
      expect(events[0]).toMatchObject({ type: 'begun', step: stop });
      expect(vectorOf(model)).toEqual(vectorOf(whole.model));
    },
  );

  it('goes on longer than was planned, and refuses to go on as another run', async () => {
    const checkpoints = memoryStore();
    const config = tinyConfig(4, { loss: { weighting: 'min-snr' }, data: { flip: true } });
    await finish(train(config, { data, checkpoints }));
    const again = (change: TrainingInput) => finish(train(change, { data, checkpoints, resume: true }));
    expect((await again({ ...config, workers: 'auto' })).events).toHaveLength(1);
    expect((await again({ steps: 6, evaluation: null })).model).toMatchObject({ step: 6, complete: true });
    for (const [change, message] of [
      [{ loss: { weighting: 'p2' } }, '"loss" expected what checkpoint-000002.msgpack was trained with'],
      [{ data: { flip: false } }, '"data.flip"'],
      [{ seed: 4 }, '"seed"'],
      [{ model: { block_out_channels: [16, 16] } }, '"model"'],
      [{ optimiser: {} }, '"optimiser"'],
    ] as const)
      await expect(again(change as TrainingInput)).rejects.toThrow(message);
  });

  it('is left where a consumer stops asking, at the last checkpoint', async () => {
    const config = tinyConfig(12, { checkpoints: { every: 4 } });
    const whole = await finish(train(config, { data }));
    const checkpoints = memoryStore();
    for await (const event of train(config, { data, checkpoints })) if (event.step === 6) break;
    const { events, model } = await finish(train(config, { data, checkpoints, resume: true }));
    expect(events[0]).toMatchObject({ type: 'begun', step: 4 });
    expect(vectorOf(model)).toEqual(vectorOf(whole.model));
  });

  it('adds up: two batches of 8 are one of 16, within 1e-5 after 3 steps', async () => {
    const rates = { optimizer: { learningRate: 1e-3, warmupSteps: 0 }, classDropout: 0 };
    const one = await finish(train(tinyConfig(3, { batch: 16, ...rates }), { data }));
    const two = await finish(train(tinyConfig(3, { batch: 8, accumulation: 2, ...rates }), { data }));
    const [a, b] = [vectorOf(one.model), vectorOf(two.model)];
    expect(Math.max(...a.map((x, i) => Math.abs(x - b[i])))).toBeLessThan(1e-5);
    expect(ofType(two.events, 'step')[0].loss).toBeCloseTo(ofType(one.events, 'step')[0].loss, 5);
  });

  it.skipIf(!built)('with three threads takes the steps of one within 1e-5, and the same bytes each time', async () => {
    const rates = { optimizer: { learningRate: 1e-3, warmupSteps: 0 } };
    const run = (workers: number) => finish(built!.train(tinyConfig(3, { ...rates, workers }), { data }));
    const [one, three, again] = [await run(1), await run(3), await run(3)];
    expect(three.events[0]).toMatchObject({ members: 3 });
    const [a, b] = [vectorOf(one.model), vectorOf(three.model)];
    expect(Math.max(...a.map((x, i) => Math.abs(x - b[i])))).toBeLessThan(1e-5);
    expect(vectorOf(again.model)).toEqual(b);
  });

  it.each([
    ['learned variance', { loss: { variance: 'learned' } }],
    ['velocity and min-SNR', { loss: { prediction: 'v_prediction', weighting: 'min-snr' } }],
    ['the image and P2', { loss: { prediction: 'sample', weighting: 'p2' } }],
    ['no classes', { model: { ...tinyConfig(1).model, num_class_embeds: null } }],
    ['no average', { ema: null }],
    ['weight decay', { optimizer: { weightDecay: 0.01, warmupSteps: 2 } }],
  ] as const)('works with %s: a loss that falls', async (_, more) => {
    const { events } = await finish(train(tinyConfig(60, more as object), { data }));
    const [first, last] = [ofType(events, 'record')[0], ofType(events, 'record').at(-1)!];
    expect(last.loss).toBeLessThan(0.9 * first.loss);
  });

  it('makes sheets of samples of all classes in turn, by step and at the end', async () => {
    const { events } = await finish(train(tinyConfig(6, { samples: { every: 4, count: 3 } }), { data }));
    const sheets = ofType(events, 'samples');
    expect(sheets.map(({ step, classes, images }) => [step, classes, images.shape])).toEqual([
      [4, [0, 1, 0], [3, 1, 8, 8]],
      [6, [0, 1, 0], [3, 1, 8, 8]],
    ]);
  });

  it('stops at a loss that is no number, with the checkpoints before it as they were', async () => {
    const checkpoints = memoryStore();
    const config = tinyConfig(40, {
      checkpoints: { every: 1 },
      optimizer: { learningRate: 10, warmupSteps: 0, clip: null },
    });
    const steep = { ...config, model: { ...config.model, norm_eps: 0 } };
    await expect(finish(train(steep, { data, checkpoints }))).rejects.toMatchObject({ code: 'training-diverged' });
    expect(checkpoints.files.size).toBeGreaterThan(0);
  });
});

describe('fine-tuning', () => {
  const clothes = (labelled: boolean): TrainingData => {
    const images = Uint8Array.from({ length: 24 * 784 }, (_, i) => (i % 28 > 6 && i % 28 < 21 ? 200 : 0));
    return {
      summary: { channels: 1, height: 28, width: 28, count: 24, ...(labelled && { classes: 10 }) },
      notes: [],
      source: () => {
        const labels = labelled ? Int32Array.from({ length: 24 }, (_, i) => i % 10) : undefined;
        return { open: () => [{ data: images, shape: [24, 1, 28, 28], labels }] };
      },
    };
  };
  const config = (more: TrainingInput): TrainingInput => ({
    ...{ from: 'fashion', steps: 2, batch: 4, workers: 1, evaluation: null, samples: null },
    ...{ optimizer: { warmupSteps: 0 }, ...more },
  });

  it('of the bundled model by a LoRA changes its targets only, and gives the LoRA by itself', async () => {
    const targets = ['*.to_q', '*.conv1'];
    const { model } = await finish(train(config({ lora: { rank: 2, targets } }), { data: clothes(true) }));
    const base = await loadBase('fashion');
    for (const [name, { data: after }] of model.parameters) {
      const before = toFloat32(base.parameters.get(name)!);
      const target = /\.(to_q|conv1)\.weight$/.test(name);
      expect(
        after.some((x, i) => x !== before[i]),
        name,
      ).toBe(target);
    }
    const lora = readLora(model.lora!.get('adapter_model.safetensors')!);
    expect(lora.layers.size).toBeGreaterThan(3);
    const merged = mergeLora(base.parameters, lora);
    for (const [name, { data: after }] of model.parameters) expect(toFloat32(merged.get(name)!), name).toEqual(after);
  });

  it('of a model with classes on images without shows them as of none', async () => {
    const { events, model } = await finish(
      train(
        config({ freeze: ['down_blocks.*'], evaluation: { images: 2 }, samples: { count: 1 }, data: { holdOut: 0.1 } }),
        {
          data: clothes(false),
        },
      ),
    );
    expect(ofType(events, 'samples')[0].classes).toEqual([10]);
    expect(ofType(events, 'evaluation')[0].heldOut.mean).toBeLessThan(1);
    const base = await loadBase('fashion');
    const [name] = [...base.parameters.keys()].filter((key) => key.startsWith('down_blocks.0.resnets.0.conv1'));
    expect(model.parameters.get(name)!.data).toEqual(toFloat32(base.parameters.get(name)!));
  });
});
