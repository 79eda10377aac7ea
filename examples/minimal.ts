// Denoising diffusion on one screen: sample from a network that is known in closed form.
// Run it with: npx tsx examples/minimal.ts
import { createEngine, createPlan, createSchedule, type Denoiser, runPlan } from 'ddpm-wasm';

// The data: every pixel is normally distributed around 0.5 with standard deviation 0.1.
const mean = 0.5;
const deviation = 0.1;

// The noise schedule: abar_t falls from almost 1 (an image) to almost 0 (pure noise) in a thousand steps.
const engine = await createEngine();
const schedule = createSchedule(engine, { _class_name: 'DDIMScheduler', beta_schedule: 'linear', clip_sample: false });

// The network. For data like this the best guess of the noise in x_t is linear in x_t, so no training is needed;
// in real life this is an ONNX session, and any function of the same form will do.
const denoiser: Denoiser = (x, timesteps) => {
  const abar = schedule.alphasCumprod[timesteps[0]];
  const spread = abar * deviation ** 2 + (1 - abar);
  return { data: x.data.map((v) => (Math.sqrt(1 - abar) / spread) * (v - Math.sqrt(abar) * mean)), shape: x.shape };
};

// The sampler, as a table: each row says what to ask the network and how to combine its answer with the state.
const plan = createPlan(schedule, { steps: 500 });
const { timestep, a, b, x, model, start, sigma } = plan.rows[0];
console.log(`row 1 of ${plan.rows.length}, timestep ${timestep}:`);
console.log(`  start = ${a.toFixed(3)} x + ${b.toFixed(3)} model`);
console.log(
  `  x'    = ${x.toFixed(3)} x + ${model.toFixed(3)} model + ${start.toFixed(3)} start + ${sigma.toFixed(3)} z`,
);

// The run: 4096 images of one pixel, from noise. The seed decides everything.
const images = await runPlan(plan, denoiser, { shape: [4096, 1, 1, 1], seed: 7 });

// The samples follow the data.
const average = images.data.reduce((sum, v) => sum + v, 0) / 4096;
const variance = images.data.reduce((sum, v) => sum + (v - average) ** 2, 0) / 4096;
console.log(`mean ${average.toFixed(3)} of ${mean}, deviation ${Math.sqrt(variance).toFixed(3)} of ${deviation}`);
