import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readSafetensors, toFloat32, writeSafetensors } from '../../src/onnx/index.ts';
import { uniform } from '../onnx/support.ts';
import { ddpmWasm, temporaryFolder } from '../support/cli.ts';
import { maxDifference } from '../support/goldens.ts';

let cwd = '';
beforeEach(() => {
  cwd = temporaryFolder();
  const random = uniform(3);
  const matrix = (...shape: number[]) => ({
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 0.5 * random()),
    shape,
  });
  const layers = ['to_q', 'to_k', 'to_v', 'to_out.0'].map((name) => `mid_block.attentions.0.${name}`);
  const tensors = layers.flatMap((layer) => [
    [`base_model.model.${layer}.lora_A.weight`, matrix(2, 96)] as const,
    [`base_model.model.${layer}.lora_B.weight`, matrix(96, 2)] as const,
  ]);
  const metadata = { lora_adapter_metadata: '{"r":2,"lora_alpha":2}' };
  writeFileSync(path.join(cwd, 'tiny.safetensors'), writeSafetensors(new Map(tensors), metadata));
});

const quick = ['--steps', 3, '--count', 2, '--seed', 4, '--device', 'cpu'];

async function samples(args: readonly (string | number)[]): Promise<Float32Array> {
  const outcome = await ddpmWasm(['sample', ...args, ...quick, '--raw', 'raw.safetensors'], { cwd });
  expect(outcome).toMatchObject({ code: 0, stderr: '' });
  return toFloat32(readSafetensors(readFileSync(path.join(cwd, 'raw.safetensors'))).get('samples')!);
}

describe('ddpm-wasm --lora', () => {
  it('samples other pictures of the bundled model, the more the larger the scale, and the same bytes at 0', async () => {
    const plain = await samples([]);
    expect(maxDifference(await samples(['--lora', 'tiny.safetensors=0']), plain)).toBe(0);
    const [half, whole] = [
      await samples(['--lora', 'tiny.safetensors=0.5']),
      await samples(['--lora', 'tiny.safetensors']),
    ];
    expect(maxDifference(half, plain)).toBeGreaterThan(0.01);
    expect(maxDifference(whole, plain)).toBeGreaterThan(maxDifference(half, plain));
    const undone = await samples(['--lora', 'tiny.safetensors', '--lora', './tiny.safetensors=-1']);
    expect(maxDifference(undone, plain)).toBeLessThan(1e-3);
  });

  it('converts the merged model, which then samples the same without', async () => {
    const merged = await samples(['--lora', 'tiny.safetensors']);
    const args = ['convert', 'fashion', '--lora', 'tiny.safetensors', '--out', 'tuned', '--json'];
    const { code, stdout } = await ddpmWasm(args, { cwd });
    expect([code, JSON.parse(stdout).notes]).toEqual([0, []]);
    expect(maxDifference(await samples(['tuned']), merged)).toBe(0);
    // and a converted model is one to merge into
    expect(maxDifference(await samples(['tuned', '--lora', 'tiny.safetensors=-1']), await samples([]))).toBeLessThan(
      1e-3,
    );
    const file = await ddpmWasm(
      ['convert', 'tuned/model.onnx', '--lora', 'tiny.safetensors', '--out', 'twice.onnx', '--dtype', 'fp16'],
      { cwd },
    );
    expect(file).toMatchObject({ code: 0, stderr: '' });
  });

  it.each([
    ['a file that is not there', ['sample', '--lora', 'no.safetensors'], 1, 'no.safetensors: expected a .safetensors'],
    ['a name with = in it', ['sample', '--lora', 'a=b.safetensors'], 1, 'a=b.safetensors: expected a .safetensors'],
    [
      'a file of something else',
      ['sample', '--lora', 'text.safetensors'],
      1,
      'text.safetensors expected a safetensors',
    ],
    ['no value', ['sample', '--lora'], 2, "option '--lora <file[=scale]>' argument missing"],
    ['a model of other layers', ['evaluate', '--data', 'x', '--lora', 'no=2'], 1, 'no: expected a .safetensors file'],
    ['a converted model without one', ['convert', 'fashion', '--out', 'out'], 1, 'it is an ONNX model already'],
  ])('with %s says so in one line', async (_, args, code, message) => {
    writeFileSync(path.join(cwd, 'text.safetensors'), 'PK\u0003 not a safetensors file');
    const outcome = await ddpmWasm(args, { cwd });
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr).toMatch(/^ddpm-wasm: [^\n]+\n$/);
    expect(outcome).toMatchObject({ code, stdout: '' });
  });
});
