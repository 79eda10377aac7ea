// A Cloudflare Worker that samples where it is asked, the network in the Worker itself. Its model lies among the assets:
// npx ddpm-wasm convert fashion --out models/fashion.ddpm && npx wrangler deploy
import { createEngine, loadPipeline } from 'ddpm-wasm';
import engineModule from 'ddpm-wasm/engine.wasm';
import { createHandler, type Handler } from 'ddpm-wasm/serve';
import wasmModule from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';

interface Env {
  readonly ASSETS: { fetch(url: string): Promise<Response> };
}

let handler: Promise<Handler> | undefined;

export default {
  async fetch(request: Request, env: Env, context: { waitUntil(promise: Promise<unknown>): void }): Promise<Response> {
    handler ??= load(env).catch((error) => {
      handler = undefined;
      throw error;
    });
    // whoever asks first may leave, and does not take the model along
    context.waitUntil(handler);
    const answer = await handler;
    return answer(request, { client: request.headers.get('cf-connecting-ip') ?? undefined });
  },
};

async function load({ ASSETS }: Env): Promise<Handler> {
  const { body } = await ASSETS.fetch('https://assets/fashion.ddpm');
  const engine = await createEngine({ module: engineModule });
  const pipeline = await loadPipeline(body!, { engine, wasmModule });
  return createHandler({ pipeline, limits: { count: 16, steps: 100, denoise: 16 } });
}
