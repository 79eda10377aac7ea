import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { runBundled } from '../runtime/support.ts';

// Chromium brings a Vulkan driver that draws in software, which serves WebGPU in Node too
const chromium = '/usr/lib/chromium';
const driver = path.join(chromium, 'vk_swiftshader_icd.json');
const checkpoints = fileURLToPath(new URL('../../../shared/checkpoints/', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'ddpm-webgpu-'));
afterAll(() => rmSync(folder, { recursive: true }));

const script = `
  import { loadModel } from './src/model/load.ts';
  const outputs = [];
  for (const device of ['cpu', 'webgpu']) {
    const model = await loadModel(process.env.MODEL, { device });
    const x = { data: Float32Array.from({ length: 2 * 3 * 64 }, (_, i) => Math.sin(i)), shape: [2, 3, 8, 8] };
    outputs.push((await model.denoiser(x, Float32Array.of(10, 900))).data);
    outputs.push(model.device);
    await model.dispose();
  }
  const [expected, , got, used] = outputs;
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i])), 0);
  console.log(JSON.stringify({ used, worst, length: got.length }));
`;

describe.skipIf(!existsSync(driver) || !existsSync(checkpoints))('webgpu in Node', () => {
  it('gives what the CPU gives, within 1e-4', async () => {
    const env = { MODEL: path.join(checkpoints, 'learned-range'), VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: chromium };
    const output = await runBundled(script, { folder, packages: ['onnxruntime-node', 'onnxruntime-web'], env });
    const { used, worst, length } = JSON.parse(output);
    expect({ used, length }).toEqual({ used: 'webgpu', length: 2 * 6 * 64 });
    expect(worst).toBeLessThan(1e-4);
  });
});
