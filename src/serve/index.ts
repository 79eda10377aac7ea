export { type Batcher, type BatcherOptions, createBatcher } from './batcher.ts';
export { createHandler, type Handler, type HandlerOptions, type RequestInfo, type RequestRecord } from './handler.ts';
export type { Limits } from './limits.ts';
export type { RateLimit } from './rateLimit.ts';
