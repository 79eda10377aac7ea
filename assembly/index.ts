// The ABI of engine.wasm. Pointers are byte offsets in the exported memory, images contiguous float32.

export { blend, dot, redirect, variance } from './edit';
export { crossEntropy, discretized, logs, spreads, squaredError } from './loss';
export { alloc, mark, reset } from './memory';
export { finite, mix } from './mix';
export { combine, scaledError, signs } from './ode';
export { fromBytes, toBytes } from './pixels';
export { planDeis, planLms } from './planAdams';
export { planDdim, planDdimInverse, planDdpm } from './planDdpm';
export { planDpm, planDpmSinglestep } from './planDpm';
export { planPndm } from './planPndm';
export { planEulerMaruyama, planLcm } from './planSde';
export { planDpm2, planEuler, planEulerAncestral, planHeun } from './planSigma';
export { planUnipc } from './planUnipc';
export { normals, philox, uniforms } from './random';
export { schedule } from './schedule';
export { fillLookup, lookupBytes, sigmasAt, spacedSigmas, timestepsOf, trainSigmas } from './sigmas';
export { step } from './step';
export { lcmTimesteps, realTimesteps, reverse, sdeTimesteps, solverTimesteps, timesteps } from './timesteps';
export { torchNormals, torchSeed, torchStateBytes, torchWords } from './torch';
