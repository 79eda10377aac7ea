// A Cloudflare Worker that samples with a network elsewhere: that of `ddpm-wasm serve --denoise` at SERVER, its token the
// secret TOKEN. The plan is made beforehand: npx ddpm-wasm inspect fashion --steps 10 --json > plan.json
import { encodePng, imageGrid, toPixels } from 'ddpm-wasm/image';
import { createRemoteDenoiser } from 'ddpm-wasm/remote';
import { instantiateEngine, planFromRows, runPlan } from 'ddpm-wasm/step';
import stepModule from 'ddpm-wasm/step.wasm';
import inspected from './plan.json' with { type: 'json' };

interface Env {
  readonly SERVER: string;
  readonly TOKEN?: string;
}

export default {
  async fetch(request: Request, { SERVER, TOKEN }: Env): Promise<Response> {
    const seed = new URL(request.url).searchParams.get('seed') ?? '0';
    if (!/^\d{1,19}$/.test(seed)) return new Response('"seed" expected an integer', { status: 400 });
    const engine = await instantiateEngine(stepModule);
    const plan = planFromRows(engine, inspected.plan);
    const denoiser = createRemoteDenoiser(SERVER, { token: TOKEN, signal: request.signal });
    const condition = { classLabels: [0, 1, 2, 3] };
    const images = await runPlan(plan, denoiser, {
      shape: [4, ...inspected.model.shape],
      seed: BigInt(seed),
      condition,
    });
    const picture = encodePng(imageGrid(toPixels(engine, images)));
    return new Response(picture as BodyInit, { headers: { 'content-type': 'image/png' } });
  },
};
