import { create, toBinary } from '@bufbuild/protobuf';
import { folderOf } from '#runtime';
import { assertInteger, assertKeys } from '../core/assert.ts';
import { DdpmError, show, wrongKind, wrongValue } from '../core/errors.ts';
import { assertShape } from '../core/tensor.ts';
import { ModelProtoSchema } from '../onnx/onnx_pb.ts';
import { showPlace } from '../runtime/http.ts';
import { openFeatureSession } from './featureSession.ts';
import { type OnnxFiles, prepareOnnx, tryReadOnnx } from './folder.ts';
import { openFolder } from './openFolder.ts';
import { placeOf } from './place.ts';
import { onDevice } from './session.ts';
import type { FeatureOptions, FeatureSession } from './types.ts';

/**
 * Opens any ONNX network of images for its features: the bundled `fashion` for 28x28 grey clothes, an .onnx file, a
 * folder with a features.onnx or model.onnx, a URL of either, or the bytes of a file. Its one input is images
 * [N, C, H, W] or [N, H, W, C]. With a published Inception-v3 and its last pooling as `output`, `frechetDistance` is FID.
 *
 * @throws DdpmError `model-not-found`, `model-invalid`, `device-unavailable`, `webgpu-unavailable`, `out-of-memory`.
 * @example
 * const network = await openFeatures('inception_v3.onnx', { output: 'avgpool', range: { mean: 0.5, std: 0.5 } });
 * const { data, shape } = await network.features(images); // [n, 2048]
 */
export async function openFeatures(
  source: string | URL | Uint8Array,
  options: FeatureOptions = {},
): Promise<FeatureSession> {
  assertKeys(options, 'options', [
    'output',
    'range',
    'size',
    'signal',
    'device',
    'threads',
    'wasmPaths',
    'wasmModule',
    'batch',
  ]);
  const { batch = 16, size, output } = options;
  assertInteger(batch, 'batch', 1, 4096);
  if (size !== undefined) assertShape(size, 'size', 2);
  if (output !== undefined && typeof output !== 'string') throw wrongKind('output', 'the name of an output', output);
  const { name, files } = await find(source, options);
  const bytes = withOutput(files, output);
  return onDevice(options, (device, passedOver) =>
    openFeatureSession(device, { ...options, name, files, bytes, batch, passedOver }),
  );
}

async function find(
  source: string | URL | Uint8Array,
  { signal }: FeatureOptions,
): Promise<{ name: string; files: OnnxFiles }> {
  if (source instanceof Uint8Array) return { name: 'model', files: await prepareOnnx(source, 'model') };
  const { kind, place, name, title } = await placeOf(source);
  const folder = await openFolder(kind === 'file' ? folderOf(place) : place, { signal, cache: false });
  const names = kind === 'file' ? [name] : ['features.onnx', 'model.onnx'];
  const files = await tryReadOnnx(folder, names);
  if (files) return { name: title, files };
  throw new DdpmError('model-not-found', `${showPlace(place)}: expected ${names.join(' or ')}, found none`);
}

/**
 * The bytes of a graph that gives a value as an output, too. Two protobuf messages after one another are one that has
 * the lists of both, so that the declaration is put at the end and the weights stay where they are.
 */
function withOutput({ bytes, name, outputs, computes }: OnnxFiles, wanted: string | undefined): Uint8Array {
  if (wanted === undefined || outputs.includes(wanted)) return bytes;
  if (!computes(wanted)) throw wrongValue('output', `a value of ${name}, whose outputs are ${show(outputs)}`, wanted);
  const more = toBinary(ModelProtoSchema, create(ModelProtoSchema, { graph: { output: [{ name: wanted }] } }));
  const all = new Uint8Array(bytes.length + more.length);
  all.set(bytes);
  all.set(more, bytes.length);
  return all;
}
