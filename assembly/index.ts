// The ABI of engine.wasm. Pointers are byte offsets in the exported memory, images contiguous float32.

export { alloc, mark, reset } from './memory';
export { finite, mix } from './mix';
export { fromBytes, toBytes } from './pixels';
export { planDdim, planDdimInverse, planDdpm } from './plan';
export { normals, philox } from './random';
export { schedule } from './schedule';
export { step } from './step';
export { reverse, timesteps } from './timesteps';
export { torchNormals, torchSeed, torchStateBytes, torchWords } from './torch';
