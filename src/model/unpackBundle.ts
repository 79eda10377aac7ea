import { decodeBundle } from './bundle.ts';
import { type ModelFiles, prepareOnnx } from './folder.ts';
import type { BundleInfo } from './types.ts';

/**
 * The parts of a bundle. The network stays a view of its bytes, which are free once there is a session of it.
 *
 * @throws DdpmError `model-invalid`, `config-invalid`
 */
export async function unpackBundle(bytes: Uint8Array, name: string): Promise<ModelFiles & { bundle: BundleInfo }> {
  const { network, scheduler, preview, ...rest } = await decodeBundle(bytes, name);
  const { config, labels, sampling, ...info } = rest;
  const bundle = { ...info, bytes: bytes.length, preview: preview?.slice() };
  return { network: await prepareOnnx(network, name), config, schedulerConfig: scheduler, labels, sampling, bundle };
}
