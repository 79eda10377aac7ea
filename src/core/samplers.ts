/** The samplers that a plan can be made for. */
export const samplers = [
  'ddpm',
  'ddim',
  'ddim-inverse',
  'dpm-solver++',
  'dpm-solver++-singlestep',
  'unipc',
  'deis',
  'euler',
  'euler-ancestral',
  'heun',
  'dpm2',
  'dpm2-ancestral',
  'lms',
  'pndm',
  'lcm',
  'edm',
  'euler-maruyama',
] as const;
export type Sampler = (typeof samplers)[number];
