// Serves a model in Bun, its network in onnxruntime-node where that is installed, else in wasm: bun server.ts
import { loadPipeline } from 'ddpm-wasm';
import { createHandler } from 'ddpm-wasm/serve';

const pipeline = await loadPipeline('fashion', { device: 'cpu' });
const handler = createHandler({ pipeline, limits: { denoise: 16 } });
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.env.PORT ?? 8080),
  fetch: (request, server) => handler(request, { client: server.requestIP(request)?.address }),
});
console.log(`Listening on http://127.0.0.1:${server.port}`);

// what was accepted is answered, or told that it cannot be
process.once('SIGTERM', async () => {
  await handler.close({ milliseconds: 10_000 });
  await server.stop();
  await pipeline.dispose();
});
