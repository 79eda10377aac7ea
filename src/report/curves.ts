import type * as Plot from '@observablehq/plot';
import { type Html, html } from './page.ts';
import { drawn } from './plots.ts';

/** Values over the steps of a run. */
export interface Curve {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly CurvePoint[];
  /** Whether the points scatter: then their running mean is what counts. */
  readonly noisy?: boolean;
}

interface CurvePoint {
  readonly step: number;
  readonly value: number;
  /** Where it is known, a band of two of them is drawn. */
  readonly standardError?: number;
}

/** How curves are drawn. */
export interface CurvePlot {
  readonly curves: readonly Curve[];
  readonly width: number;
  readonly height: number;
  readonly logarithmic?: boolean;
}

/** Curves over steps as an SVG picture. */
export async function curvePlot({ curves, width, height, logarithmic = false }: CurvePlot): Promise<Html> {
  const plot = await import('@observablehq/plot');
  const drawable = curves.map((curve) => ({ ...curve, points: shown(curve.points, logarithmic) }));
  return drawn({
    ...{ width, height, marginLeft: 52, marginBottom: 36, marginRight: 16 },
    x: { label: 'step', grid: false, ticks: Math.round(width / 110), tickFormat: tickText },
    y: {
      ...{ label: null, grid: true, tickFormat: tickText },
      ...(logarithmic ? logarithmicScale(drawable) : { nice: true, ticks: Math.round(height / 45) }),
    },
    marks: [
      ...drawable.flatMap((curve) => marksOf(plot, curve)),
      ...(logarithmic ? [] : [plot.ruleY([0], { stroke: 'var(--line)' })]),
    ],
  });
}

/** What the colours of curves mean. */
export function legend(curves: readonly Pick<Curve, 'name' | 'colour'>[]): Html {
  return html`<p class="legend">${curves.map(({ name, colour }) => html`<span style="--colour: ${colour}">${name}</span>`)}</p>`;
}

function marksOf(plot: typeof Plot, { colour, points, noisy }: Curve): Plot.Markish[] {
  const line = { x: 'step', y: 'value', stroke: colour, strokeWidth: 2 };
  const bands = points.filter(({ standardError }) => Number.isFinite(standardError)).map(bandOf);
  const many = noisy && points.length > 40;
  return [
    ...(bands.length > 1
      ? [plot.areaY(bands, { x: 'step', y1: 'low', y2: 'high', fill: colour, fillOpacity: 0.22 })]
      : [plot.ruleX(bands, { x: 'step', y1: 'low', y2: 'high', stroke: colour })]),
    ...(many ? [plot.lineY(points, { ...line, strokeWidth: 1, strokeOpacity: 0.35 })] : []),
    plot.lineY(points, many ? plot.windowY({ k: Math.ceil(points.length / 40) }, line) : line),
    ...(points.length < 25 ? [plot.dot(points, { x: 'step', y: 'value', fill: colour, r: 2.5 })] : []),
  ];
}

/** So many points are enough for a picture, and keep it small however long the run. */
const maxPoints = 300;

/** The points that can be drawn, neighbours averaged where there are more than a picture needs. */
function shown(points: readonly CurvePoint[], logarithmic: boolean): readonly CurvePoint[] {
  const usable = points.filter(({ value }) => Number.isFinite(value) && (!logarithmic || value > 0));
  const size = Math.ceil(usable.length / maxPoints);
  if (size <= 1) return usable;
  const groups = Array.from({ length: Math.ceil(usable.length / size) }, (_, i) =>
    usable.slice(i * size, (i + 1) * size),
  );
  return groups.map((group) => ({
    step: group[group.length - 1].step,
    value: group.reduce((sum, { value }) => sum + value, 0) / group.length,
    standardError: group[group.length - 1].standardError,
  }));
}

function bandOf({ step, value, standardError = 0 }: CurvePoint) {
  // a band that reaches below zero has no place on a logarithmic axis
  return { step, low: Math.max(value - 2 * standardError, value / 10), high: value + 2 * standardError };
}

/** As much as the points take, with lines at round numbers. */
function logarithmicScale(curves: readonly Curve[]): Plot.ScaleOptions {
  const bands = curves.flatMap(({ points }) => points.map(bandOf));
  if (bands.length === 0) return {};
  const domain = [Math.min(...bands.map(({ low }) => low)), Math.max(...bands.map(({ high }) => high))];
  const [first, decades] = [Math.floor(Math.log10(domain[0])), Math.log10(domain[1] / domain[0])];
  // on so short a way it is as good as linear, and has no round numbers of its own
  if (decades < 0.25) return { domain, ticks: 5 };
  const leading =
    decades < 1 ? [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9] : decades < 2 ? [1, 2, 3, 5] : decades < 4 ? [1, 3] : [1];
  const powers = Array.from({ length: Math.ceil(decades) + 2 }, (_, i) => 10 ** (first + i));
  const ticks = powers
    .flatMap((power) => leading.map((digit) => digit * power))
    .filter((tick) => tick >= domain[0] && tick <= domain[1]);
  return { type: 'log', domain, ticks };
}

function tickText(value: number): string {
  if (value >= 10_000) return `${Number((value / 1000).toPrecision(4))}k`;
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(0) : String(Number(value.toPrecision(4)));
}
