import { type Sampler, samplers } from './samplers.ts';

/**
 * diffusers' classes and the sampler of each. Classes without one share the trained schedule, so that another sampler can
 * take over, as from_config does.
 */
export const schedulerClasses: Readonly<Record<string, Sampler | undefined>> = {
  DDPMScheduler: 'ddpm',
  DDIMScheduler: 'ddim',
  DDIMInverseScheduler: 'ddim-inverse',
  DDPMParallelScheduler: 'ddpm',
  DDIMParallelScheduler: 'ddim',
  DEISMultistepScheduler: 'deis',
  DPMSolverMultistepScheduler: 'dpm-solver++',
  DPMSolverSDEScheduler: undefined,
  DPMSolverSinglestepScheduler: 'dpm-solver++-singlestep',
  EulerAncestralDiscreteScheduler: 'euler-ancestral',
  EulerDiscreteScheduler: 'euler',
  HeunDiscreteScheduler: 'heun',
  KDPM2AncestralDiscreteScheduler: 'dpm2-ancestral',
  KDPM2DiscreteScheduler: 'dpm2',
  LCMScheduler: 'lcm',
  LMSDiscreteScheduler: 'lms',
  PNDMScheduler: 'pndm',
  UniPCMultistepScheduler: 'unipc',
};

/** What diffusers' classes take for absent keys, where they agree. */
export const commonDefaults = {
  numTrainTimesteps: 1000,
  betaStart: 0.0001,
  betaEnd: 0.02,
  betaSchedule: 'linear',
  trainedBetas: null,
  rescaleBetasZeroSnr: false,
  predictionType: 'epsilon',
  varianceType: 'fixed_small',
  clipSample: false,
  clipSampleRange: 1,
  thresholding: false,
  dynamicThresholdingRatio: 0.995,
  sampleMaxValue: 1,
  timestepSpacing: 'linspace',
  stepsOffset: 0,
  setAlphaToOne: true,
  solverOrder: 2,
  solverType: 'midpoint',
  algorithmType: 'dpmsolver++',
  lowerOrderFinal: true,
  eulerAtFinal: false,
  finalSigmasType: 'zero',
  lambdaMinClipped: Number.NEGATIVE_INFINITY,
  useKarrasSigmas: false,
  useExponentialSigmas: false,
  useBetaSigmas: false,
  useLuLambdas: false,
  useFlowSigmas: false,
  sigmaMin: null,
  sigmaMax: null,
  interpolationType: 'linear',
  timestepType: 'discrete',
  predictX0: true,
  disableCorrector: [],
  skipPrkSteps: false,
  originalInferenceSteps: 50,
  timestepScaling: 10,
} as const;

const latent = { betaStart: 0.00085, betaEnd: 0.012 } as const;

/** Where a class has a default of its own. */
const ownDefaults: Partial<Record<Sampler, object>> = {
  ddpm: { clipSample: true, timestepSpacing: 'leading' },
  ddim: { clipSample: true, timestepSpacing: 'leading' },
  'ddim-inverse': { clipSample: true, timestepSpacing: 'leading' },
  'dpm-solver++-singlestep': { lowerOrderFinal: false },
  unipc: { solverType: 'bh2' },
  deis: { solverType: 'logrho', finalSigmasType: 'sigma_min' },
  heun: latent,
  dpm2: latent,
  'dpm2-ancestral': latent,
  lms: { solverOrder: 4 },
  pndm: { timestepSpacing: 'leading', setAlphaToOne: false },
  lcm: { ...latent, betaSchedule: 'scaled_linear', timestepSpacing: 'leading' },
  edm: { useKarrasSigmas: true },
};

/** The defaults of the class of a sampler; of DDPMScheduler where a class has no sampler here. */
export function classDefaults(sampler: Sampler = 'ddpm'): typeof commonDefaults {
  return { ...commonDefaults, ...ownDefaults[sampler] };
}

/** Keys that a class has not are no part of its configuration, whoever wrote them there. */
const clipping: readonly Sampler[] = ['ddpm', 'ddim', 'ddim-inverse', 'heun', 'lcm'];
const thresholding: readonly Sampler[] = [
  'ddpm',
  'ddim',
  'dpm-solver++',
  'dpm-solver++-singlestep',
  'unipc',
  'deis',
  'lcm',
];
const spacedSigmas: readonly Sampler[] = [
  'dpm-solver++',
  'dpm-solver++-singlestep',
  'unipc',
  'deis',
  'euler',
  'heun',
  'dpm2',
  'dpm2-ancestral',
  'lms',
  'edm',
];
const keysOf: Readonly<Record<string, readonly Sampler[]>> = {
  clipSample: clipping,
  thresholding,
  useKarrasSigmas: spacedSigmas,
  useExponentialSigmas: spacedSigmas,
  useBetaSigmas: spacedSigmas,
  useLuLambdas: ['dpm-solver++'],
  sigmaMin: ['euler'],
  sigmaMax: ['euler'],
  finalSigmasType: ['dpm-solver++', 'dpm-solver++-singlestep', 'unipc', 'euler'],
  timestepSpacing: samplers.filter((sampler) => sampler !== 'dpm-solver++-singlestep'),
  solverOrder: ['dpm-solver++', 'dpm-solver++-singlestep', 'unipc', 'deis'],
  lambdaMinClipped: ['dpm-solver++', 'dpm-solver++-singlestep'],
  algorithmType: ['dpm-solver++', 'dpm-solver++-singlestep'],
};

/** Whether the class of a sampler reads a key of its configuration. */
export function readsKey(sampler: Sampler, key: string): boolean {
  return keysOf[key]?.includes(sampler) ?? true;
}
