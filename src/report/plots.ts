import type * as Plot from '@observablehq/plot';
import type { TimestepEstimate } from '../evaluate/types.ts';
import { asHtml, type Html } from './page.ts';

/** What is drawn over timesteps: means with their standard errors. */
export interface TimestepPlot {
  readonly estimates: readonly TimestepEstimate[];
  readonly label: string;
  /** A logarithmic axis, for terms that differ by orders of magnitude. */
  readonly logarithmic?: boolean;
}

/** Means by timestep as an SVG picture: a line through the middles of the ranges, and a band of two standard errors. */
export async function timestepPlot({ estimates, label, logarithmic = false }: TimestepPlot): Promise<Html> {
  const plot = await import('@observablehq/plot');
  const points = estimates
    .filter(({ count, mean }) => count > 0 && Number.isFinite(mean) && (!logarithmic || mean > 0))
    .map(({ from, to, mean, standardError }) => {
      const error = Number.isFinite(standardError) ? 2 * standardError : 0;
      // a band that reaches below zero has no place on a logarithmic axis
      const low = logarithmic ? Math.max(mean - error, mean / 10) : mean - error;
      return { timestep: (from + to) / 2, mean, low, high: mean + error };
    });
  const marks: Plot.Markish[] = [
    plot.areaY(points, { x: 'timestep', y1: 'low', y2: 'high', fill: 'var(--mark)', fillOpacity: 0.25 }),
    plot.lineY(points, { x: 'timestep', y: 'mean', stroke: 'var(--mark)', strokeWidth: 2 }),
    plot.dot(points, { x: 'timestep', y: 'mean', fill: 'var(--mark)', r: 2.5 }),
    ...(logarithmic ? [] : [plot.ruleY([0], { stroke: 'var(--line)' })]),
  ];
  return drawn({
    ...{ width: 900, height: 320, marginLeft: 60, marginBottom: 42 },
    x: { label: 'timestep', grid: false },
    y: { label, grid: true, type: logarithmic ? 'log' : 'linear', ...(logarithmic && { ticks: 6, tickFormat: '.0e' }) },
    marks,
  });
}

/** A plot as an SVG picture. */
export async function drawn(options: Plot.PlotOptions): Promise<Html> {
  const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')]);
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const style = { background: 'none', fontSize: '12px' };
  const svg = plot.plot({ document: document as unknown as Document, style, ...options });
  return asHtml(svg.outerHTML);
}
