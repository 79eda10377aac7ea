import { Command } from 'commander';
import type { Plan, PlanRow } from '../diffusion/plan.ts';
import type { Model } from '../model/types.ts';
import type { Pipeline } from '../pipeline.ts';
import { addPlanFlags, defaultModel, type PlanFlags, planOptions } from './flags.ts';

const examples = `
Examples:
  $ ddpm-wasm inspect
  $ ddpm-wasm inspect ./my-diffusers-model --sampler ddim --steps 10
  $ ddpm-wasm inspect model.onnx --json
`;

export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Print a model, its schedule and the plan of a sampler, row by row.')
    .argument('[model]', 'bundled name, diffusers folder, .onnx file, .ddpm bundle, or URL', defaultModel);
  return addPlanFlags(command)
    .option('--json', 'print one JSON object')
    .addHelpText('after', examples)
    .action((model: string, flags: PlanFlags & { json?: boolean }) => inspect(model, flags));
}

async function inspect(source: string, flags: PlanFlags & { json?: boolean }): Promise<void> {
  const { loadPipeline } = await import('../pipeline.ts');
  const pipeline = await loadPipeline(source);
  try {
    const plan = pipeline.plan(planOptions(flags));
    console.log(flags.json ? JSON.stringify(facts(pipeline, plan)) : describe(pipeline, plan));
  } finally {
    await pipeline.dispose();
  }
}

function facts({ model, schedule, notes }: Pipeline, plan: Plan) {
  const { name, shape, outChannels, classes, labels, unconditional, sampling, bundle, device } = model;
  return {
    model: { name, shape, outChannels, classes, labels, unconditional, sampling, device },
    bundle: bundle && { ...bundle, preview: bundle.preview && `${bundle.preview.length} bytes` },
    schedule: schedule.config,
    plan: planFacts(plan),
    notes,
  };
}

/** What `planFromRows` makes the plan of again. */
function planFacts({ sampler, calls, timesteps, initialScale, rows }: Plan) {
  return { sampler, calls, timesteps, initialScale, rows };
}

function describe(pipeline: Pipeline, plan: Plan): string {
  const { model, schedule, notes } = pipeline;
  const { config } = schedule;
  const [channels, height, width] = model.shape;
  const [first, last] = [schedule.betas[0], schedule.betas[schedule.trainTimesteps - 1]].map(cell);
  const betas = `${config.trainedBetas ? 'trained' : config.betaSchedule} betas from ${first} to ${last}`;
  const predicts = model.outChannels === 2 * channels ? `${config.predictionType} and variance` : config.predictionType;
  return [
    `model     ${model.name}, ${channels} x ${height} x ${width}, predicts ${predicts}, on ${model.device}`,
    ...bundleLines(model.bundle),
    ...(model.classes > 0 ? [`classes   ${classNames(pipeline)}`] : []),
    `schedule  ${config.className}, ${schedule.trainTimesteps} steps, ${betas}`,
    `plan      ${plan.sampler}, ${plan.rows.length} rows, ${plan.calls} network calls an image`,
    ...notes.map((note) => `note      ${note}`),
    '',
    table(plan.rows),
    '',
    "start = clamp(a*x + b*model); x' = x, model, start and h1.. summed, each times its column, + sigma*z; store n keeps hn",
  ].join('\n');
}

/** What a bundle says of itself: its weights, its digest, and the first words of its card. */
function bundleLines(bundle: Model['bundle']): string[] {
  if (!bundle) return [];
  const { version, bytes, dtype, sha256, card, preview } = bundle;
  const size = `${(bytes / 1e6).toFixed(2)} MB${dtype ? ` of ${dtype}` : ''}${preview ? ', with a preview' : ''}`;
  // a card comes from who knows where, and escape sequences move a terminal
  const title = card?.split('\n').find((line) => /^#+ /.test(line));
  return [
    `bundle    version ${version}, ${size}, sha256 ${sha256}`,
    ...(title ? [`card      ${title.replace(/^#+ /, '').replace(/\p{C}/gu, '').slice(0, 100)}`] : []),
  ];
}

function classNames({ model }: Pipeline): string {
  const { classes, labels, unconditional } = model;
  const names = labels?.join(', ') ?? `0..${classes - 1}`;
  return unconditional === undefined ? names : `${names}; ${unconditional} is none`;
}

/** The rows in aligned columns; a column that is zero in every row is left out. */
function table(rows: readonly PlanRow[]): string {
  const always = ['timestep', 'a', 'b', 'clip', 'start', 'sigma'];
  const keys = (Object.keys(rows[0]) as (keyof PlanRow)[]).filter(
    (key) => always.includes(key) || (key !== 'calls' && key !== 'thresholdMax' && rows.some((row) => row[key] !== 0)),
  );
  const lines = [keys, ...rows.map((row) => keys.map((key) => cell(row[key])))];
  const widths = keys.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  return lines.map((line) => line.map((text, i) => text.padStart(widths[i])).join('  ')).join('\n');
}

/** Six digits, which is what tells rows apart; --json has them all. */
function cell(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return 'none';
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}
