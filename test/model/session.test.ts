import { describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { openSession } from '../../src/model/session.ts';
import { type GraphOptions, smallGraph } from './graphs.ts';

const timesteps = Float32Array.of(7, 7, 3, 900, 900);
const classLabels = [2, 2, 2, 1, 0];

/** Five images 1x2x3 with numbers that float16 and float32 hold exactly. */
function images(shape: readonly number[] = [5, 1, 2, 3]) {
  const size = shape.reduce((a, b) => a * b);
  return { data: Float32Array.from({ length: size }, (_, i) => i / 2), shape };
}

function expected({ data, shape }: ReturnType<typeof images>, labels?: readonly number[]): number[] {
  const stride = data.length / shape[0];
  const at = (i: number) => Math.floor(i / stride);
  return Array.from(data, (x, i) => x + timesteps[at(i)] + (labels ? 1000 * labels[at(i)] : 0));
}

describe.each(['cpu', 'wasm'] as const)('openSession on %s: image + timestep + 1000 label, exactly', (device) => {
  const shapes: Record<string, GraphOptions> = {
    'float32 timesteps [N]': {},
    'int64 timesteps [N]': { time: { type: 'int64' } },
    'int32 timesteps [N]': { time: { type: 'int32' } },
    'float16 timesteps [N]': { time: { type: 'float16' } },
    'float64 timesteps [N, 1]': { time: { type: 'float64', dims: ['N', 1] } },
    'a scalar timestep': { time: { type: 'int64', dims: [] } },
    'a timestep of shape [1]': { time: { dims: [1] } },
    'a fixed batch of one': { image: { dims: [1, 1, 2, 3] }, time: { dims: [1] } },
    'a fixed batch of two': { image: { dims: [2, 1, 2, 3] }, time: { dims: [2] } },
    'a fixed batch of eight and a scalar timestep': { image: { dims: [8, 1, 2, 3] }, time: { dims: [] } },
    'float16 images': { image: { type: 'float16' } },
    'open height and width': { image: { dims: ['N', 1, 'H', 'W'] } },
    'an open output': { outDims: ['a', 'b', 'c', 'd'] },
    'other names': { image: { name: 'onnx::Conv_0' }, time: { name: 'onnx::Cast_1' } },
    'names in capitals': { image: { name: 'X' }, time: { name: 'T' } },
  };

  it.each(Object.entries(shapes))('takes %s', async (_, options) => {
    const denoiser = await openSession(smallGraph(options), { device });
    const x = images();
    const result = await denoiser(x, timesteps);
    expect(Array.from(result.data)).toEqual(expected(x));
    expect(result.shape).toEqual(x.shape);
    await denoiser.dispose();
  });

  const labelled: Record<string, GraphOptions> = {
    'int64 labels [N]': { label: {} },
    'int32 labels called y': { label: { name: 'y', type: 'int32' } },
    'a scalar label and a scalar timestep': { label: { dims: [] }, time: { dims: [] } },
    'nameless float timesteps and integer labels': { time: { name: 'a' }, label: { name: 'b' } },
    'integer timesteps and nameless labels': { time: { type: 'int64' }, label: { name: 'b' } },
    'nameless integer timesteps and labels': { time: { name: 'a', type: 'int64' }, label: {} },
  };

  it.each(Object.entries(labelled))('takes %s', async (_, options) => {
    const denoiser = await openSession(smallGraph(options), { device });
    const x = images();
    const result = await denoiser(x, timesteps, { classLabels });
    expect(Array.from(result.data)).toEqual(expected(x, classLabels));
    await denoiser.dispose();
  });

  it('gives the same for every batch size', async () => {
    for (const batch of [1, 2, 3, 5, 16]) {
      const denoiser = await openSession(smallGraph(), { device, batch });
      const x = images();
      expect(Array.from((await denoiser(x, timesteps)).data)).toEqual(expected(x));
      await denoiser.dispose();
    }
  });

  it('reads twice the channels from the metadata, or finds them by a trial run', async () => {
    for (const outDims of [undefined, ['N', 'C2', 2, 3]]) {
      const denoiser = await openSession(smallGraph({ times: 2, outDims }), { device });
      expect(denoiser.shape).toEqual({ channels: 1, height: 2, width: 3, outChannels: 2 });
      const result = await denoiser(images(), timesteps);
      expect(result.shape).toEqual([5, 2, 2, 3]);
      await denoiser.dispose();
    }
  });

  it('fills and returns "out", which may be a view of WebAssembly memory, and reads such a view', async () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const given = images();
    const x = { data: new Float32Array(memory.buffer, 64, 30), shape: given.shape };
    x.data.set(given.data);
    const out = { data: new Float32Array(memory.buffer, 4096, 30), shape: given.shape };
    const denoiser = await openSession(smallGraph(), { device, batch: 2 });
    expect(await denoiser(x, timesteps, undefined, { out })).toBe(out);
    expect(Array.from(new Float32Array(memory.buffer, 4096, 30))).toEqual(expected(given));
    expect(new Float32Array(memory.buffer, 4096 + 30 * 4, 1)[0]).toBe(0);
    await denoiser.dispose();
  });

  it('reads and writes shared memory, by copies', async () => {
    const shared = new SharedArrayBuffer(1024);
    const x = { data: new Float32Array(shared, 0, 30), shape: [5, 1, 2, 3] };
    x.data.set(images().data);
    const out = { data: new Float32Array(shared, 512, 30), shape: x.shape };
    const denoiser = await openSession(smallGraph(), { device });
    await denoiser(x, timesteps, undefined, { out });
    expect(Array.from(out.data)).toEqual(expected(images()));
    await denoiser.dispose();
  });

  it('runs calls made at the same time', async () => {
    const denoiser = await openSession(smallGraph(), { device });
    const x = images();
    const results = await Promise.all([denoiser(x, timesteps), denoiser(x, timesteps), denoiser(x, timesteps)]);
    for (const result of results) expect(Array.from(result.data)).toEqual(expected(x));
    await denoiser.dispose();
  });

  it('refuses what is no ONNX model in one line', async () => {
    const bytes = [
      new Uint8Array(),
      new TextEncoder().encode('hello'),
      smallGraph().subarray(0, 100),
      new Uint8Array(999),
    ];
    for (const damaged of bytes) {
      const error = await openSession(damaged, { device, name: 'a.onnx' }).catch((error) => error);
      expect(error).toBeInstanceOf(DdpmError);
      expect(error.code).toBe('model-invalid');
      expect(error.message).toBe('a.onnx: not an ONNX model, or damaged');
    }
  });
});

describe('openSession', () => {
  it('says what it assumed about nameless inputs, and nothing about known names', async () => {
    const nameless = await openSession(smallGraph({ image: { name: 'a' }, time: { name: 'b' } }), { device: 'cpu' });
    expect(nameless.notes).toEqual([
      '"a" is taken for the noisy images, by its shape and type',
      '"b" is taken for the timesteps, by its shape and type',
    ]);
    const known = await openSession(smallGraph(), { device: 'cpu' });
    expect(known.notes).toEqual([]);
  });

  it('rounds timesteps for an integer input, and says so', async () => {
    const denoiser = await openSession(smallGraph({ time: { type: 'int64' } }), { device: 'cpu' });
    const x = images([1, 1, 2, 3]);
    expect((await denoiser(x, Float32Array.of(4))).data[0]).toBe(4);
    expect(denoiser.notes).toEqual([]);
    expect((await denoiser(x, Float32Array.of(4.6))).data[0]).toBe(5);
    expect(denoiser.notes).toEqual(['timesteps are rounded to whole numbers: the network takes int64']);
  });

  it('names the inputs of a network that it cannot feed', async () => {
    const extra = [{ name: 'encoder_hidden_states', type: 'float32', dims: ['N', 77, 768] }] as const;
    const error = await openSession(smallGraph({ extra }), { device: 'cpu', name: 'text.onnx' }).catch(
      (error) => error,
    );
    expect(error.code).toBe('model-invalid');
    expect(error.message).toMatch(/^text.onnx: expected inputs .*"encoder_hidden_states" float32 \[\?, 77, 768\]/);
  });

  it('names the shapes of a network whose prediction does not fit its images', async () => {
    const expected = "a.onnx: expected a prediction of the images' size with as many channels or twice, got ";
    await expect(openSession(smallGraph({ times: 3 }), { device: 'cpu', name: 'a.onnx' })).rejects.toThrow(
      `${expected}"sample" float32 [?, 1, 2, 3] -> "out_sample" float32 [?, 3, 2, 3]`,
    );
  });

  it('refuses three times the channels in a trial run, where the graph leaves them open', async () => {
    const open = smallGraph({ times: 3, image: { dims: ['N', 'C', 2, 3] } });
    const shape = [1, undefined, undefined];
    await expect(openSession(open, { device: 'cpu', shape })).rejects.toThrow('of 1 or 2 channels, got 3');
  });

  it.each([
    [
      'shape',
      { data: new Float32Array(12), shape: [2, 1, 2, 3] },
      Float32Array.of(1),
      undefined,
      /"timesteps" expected 2/,
    ],
    [
      'size',
      { data: new Float32Array(8), shape: [2, 1, 2, 2] },
      Float32Array.of(1, 1),
      undefined,
      /"x.shape" expected \[2, 1, 2, 3\]/,
    ],
    ['labels', images([1, 1, 2, 3]), Float32Array.of(1), { classLabels: [1] }, /"classLabels" expected none/],
  ])('refuses a wrong %s by name', async (_, x, t, condition, message) => {
    const denoiser = await openSession(smallGraph(), { device: 'cpu' });
    await expect(denoiser(x, t, condition)).rejects.toThrow(message);
    await denoiser.dispose();
  });

  it('asks for class labels that a network needs', async () => {
    const denoiser = await openSession(smallGraph({ label: {} }), { device: 'cpu' });
    await expect(denoiser(images(), timesteps)).rejects.toThrow('"classLabels" expected a label for each image');
    await expect(denoiser(images(), timesteps, { classLabels: [1] })).rejects.toThrow('expected 5 labels, got 1');
    await expect(denoiser(images(), timesteps, { classLabels: [0, 1, 2, 3, -1] })).rejects.toThrow('got -1');
  });

  it('reports a label that the embedding does not hold as a failure of the network, in one line', async () => {
    const denoiser = await openSession(smallGraph({ label: {}, embedding: 3 }), { device: 'cpu' });
    const error = await denoiser(images(), timesteps, { classLabels: [0, 1, 2, 3, 4] }).catch((error) => error);
    expect(error.code).toBe('network-failed');
    expect(error.message).toMatch(/^the network failed: [^\n]*$/);
    expect(error.message).not.toContain('onnxruntime_src');
  });

  it.each([
    [{ device: 'tpu' as 'cpu' }, /"device" expected one of auto, cpu/],
    [{ threads: 0 }, /"threads" expected/],
    [{ batch: 1.5 }, /"batch" expected/],
  ])('refuses %j by name', async (options, message) => {
    await expect(openSession(smallGraph(), options)).rejects.toThrow(message);
  });
});
