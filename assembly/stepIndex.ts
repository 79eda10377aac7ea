// The ABI of step.wasm: what a run calls of a plan that was made elsewhere, without torch's random numbers. The kernels are
// those of engine.wasm.

export { blend, dot, redirect, variance } from './edit';
export { alloc, mark, reset } from './memory';
export { finite, mix } from './mix';
export { toBytes } from './pixels';
export { normals } from './random';
export { step } from './step';
