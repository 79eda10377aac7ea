import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/model/load.ts';
import { readSafetensors, toFloat32 } from '../../src/onnx/safetensors.ts';

const shared = new URL('../../../shared/checkpoints/', import.meta.url);

// a model -> the checkpoint whose outputs, computed by diffusers, it must give
const origins = {
  'cifar-like': 'cifar-like',
  'class-scale-shift': 'class-scale-shift',
  'learned-range': 'learned-range',
  'legacy-keys': 'legacy-keys',
  'modern-defaults': 'modern-defaults',
  fashion: 'fashion',
  'foreign-dynamo': 'cifar-like',
  'foreign-learned': 'learned-range',
  'foreign-legacy': 'modern-defaults',
};

function readExpected(origin: string) {
  const folder = new URL(`${origin}/`, shared);
  const tensors = readSafetensors(readFileSync(new URL('expected.safetensors', folder)));
  const { t, class_labels: classLabels } = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8'));
  const tensor = (name: string) => ({ data: toFloat32(tensors.get(name)!), shape: tensors.get(name)!.shape });
  const condition = classLabels ? { classLabels } : undefined;
  return { x: tensor('x'), timesteps: Float32Array.from(t as number[]), condition, y: tensor('model_output') };
}

describe.skipIf(!existsSync(shared)).each(['cpu', 'wasm'] as const)('on %s', (device) => {
  it.each(Object.entries(origins))(
    '%s gives the output of diffusers, %s, within 2e-6 max + 2e-6',
    async (name, origin) => {
      const { x, timesteps, condition, y } = readExpected(origin);
      const model = await loadModel(new URL(name, shared), { device });
      expect(model.shape).toEqual(x.shape.slice(1));
      expect(model.outChannels).toBe(y.shape[1]);
      expect(model.schedulerConfig).toHaveProperty('_class_name', 'DDPMScheduler');
      const result = await model.denoiser(x, timesteps, condition);
      expect(result.shape).toEqual(y.shape);
      const largest = y.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const worst = y.data.reduce((most, value, i) => Math.max(most, Math.abs(value - result.data[i])), 0);
      expect(worst).toBeLessThan(2e-6 * largest + 2e-6);
      await model.dispose();
    },
  );
});

describe.skipIf(!existsSync(shared))('fashion', () => {
  it('has ten named classes, and an eleventh label that means none', async () => {
    const model = await loadModel(new URL('fashion', shared), { device: 'cpu' });
    expect(model).toMatchObject({ name: 'fashion', classes: 11, unconditional: 10, shape: [1, 28, 28] });
    expect(model.labels).toHaveLength(10);
    await model.dispose();
  });

  it('gives the same bits for every batch size', async () => {
    const x = { data: Float32Array.from({ length: 5 * 784 }, (_, i) => Math.sin(i)), shape: [5, 1, 28, 28] };
    const results = [];
    for (const batch of [1, 2, 5]) {
      const model = await loadModel(new URL('fashion', shared), { device: 'cpu', batch });
      results.push(await model.denoiser(x, new Float32Array(5).fill(300), { classLabels: [0, 1, 2, 3, 10] }));
      await model.dispose();
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});
