// Serves a model in Deno, its network in onnxruntime-node where that is installed, else in wasm:
// deno run --unstable-no-legacy-abort --allow-net --allow-read --allow-env --allow-sys --allow-ffi server.ts
import { loadPipeline } from 'ddpm-wasm';
import { createHandler } from 'ddpm-wasm/serve';

const pipeline = await loadPipeline('fashion', { device: 'cpu' });
const handler = createHandler({ pipeline, limits: { denoise: 16 } });
const server = Deno.serve(
  {
    hostname: '127.0.0.1',
    port: Number(Deno.env.get('PORT') ?? 8080),
    onListen: ({ port }) => console.log(`Listening on http://127.0.0.1:${port}`),
  },
  (request, { remoteAddr }) => handler(request, { client: remoteAddr.hostname }),
);

// what was accepted is answered, or told that it cannot be
Deno.addSignalListener('SIGTERM', async () => {
  await handler.close({ milliseconds: 10_000 });
  await server.shutdown();
  await pipeline.dispose();
});
