export type { Condition, Denoiser } from './core/denoiser.ts';
export { createRemoteDenoiser, type RemoteOptions } from './model/remote.ts';
