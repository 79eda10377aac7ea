export { type GridOptions, imageGrid } from './grid.ts';
export type { Pixels } from './pixels.ts';
export { encodePng } from './png.ts';
export { toPixels } from './tensor.ts';
