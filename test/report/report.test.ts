import { parseHTML } from 'linkedom';
import { describe, expect, it } from 'vitest';
import type { Evaluation } from '../../src/evaluate/types.ts';
import { evaluationReport, headlines, withError } from '../../src/report/evaluation.ts';
import { asHtml, html } from '../../src/report/page.ts';
import { timestepPlot } from '../../src/report/plots.ts';

const estimate = (mean: number, standardError: number) => ({ mean, standardError, count: 9 });
const evaluation: Evaluation = {
  ...{ images: 9, of: 20, complete: false, progress: 0.45, seed: '7', calls: 180, seconds: 3 },
  likelihood: { bitsPerDimension: estimate(2.8114, 0.0138), calls: estimate(101, 1), divergenceError: estimate(0, 0) },
};
const context = {
  model: '<b>model</b>',
  data: 'a "quoted" & <script>alert(1)</script> name',
  settings: { seed: 7 },
  command: "ddpm-wasm evaluate --data 'x < y'",
  problems: ['a.png: <not> a PNG'],
};

describe('a report', () => {
  it('escapes whatever comes from outside, and asks for nothing from outside', async () => {
    const text = await evaluationReport(evaluation, context);
    const { document } = parseHTML(text);
    expect(document.querySelectorAll('script, link, iframe, b')).toHaveLength(0);
    expect(document.querySelector('h1')!.textContent).toBe(`${context.model} on ${context.data}`);
    expect(document.querySelector('pre')!.textContent).toBe(context.command);
    expect(document.querySelectorAll('.warning')[1].textContent).toBe('1 file was skipped: a.png: <not> a PNG');
    expect(text).toContain("default-src 'none'");
  });

  it('says that it is partial, and leaves out what was not measured', async () => {
    const text = await evaluationReport(evaluation, context);
    expect(text).toContain('Partial');
    expect(text).toContain('9 of 20 images, seed 7');
    expect(text).not.toContain('<svg');
    const whole = await evaluationReport({ ...evaluation, complete: true }, { ...context, problems: [] });
    expect(whole).not.toContain('class="warning"');
  });

  it('shows figures to the digits that their errors leave', () => {
    expect(withError(estimate(2.81145, 0.01381))).toBe('2.811 ± 0.014');
    expect(withError(estimate(123.456, 12.3))).toBe('123 ± 12');
    expect(withError(estimate(1.98863e-5, 3.5e-7))).toBe('0.00001989 ± 0.00000035');
    expect(withError(estimate(0.123456, Number.NaN))).toBe('0.1235');
    const [likelihood, ...others] = headlines(evaluation);
    expect(likelihood).toMatchObject({ name: 'likelihood', value: '2.811 ± 0.014', unit: 'bits/dim' });
    expect(likelihood.note).toContain('101 network calls');
    expect(others).toEqual([]);
  });
});

describe('html', () => {
  it('escapes text, keeps HTML, joins lists and drops what is not there', () => {
    const list = ['<', '&'].map((text) => html`<i>${text}</i>`);
    expect(html`${list}${undefined}${false}${0}${asHtml('<hr>')}`.html).toBe('<i>&#60;</i><i>&#38;</i>0<hr>');
  });
});

describe('a plot by timestep', () => {
  const at = (from: number, mean: number) => ({ ...estimate(mean, 0.1), from, to: from + 9 });
  const dots = (svg: string) => parseHTML(svg).document.querySelectorAll('circle').length;

  it('has a point for each range that holds something', async () => {
    const estimates = [at(0, 2), at(10, 1), { ...at(20, Number.NaN), count: 0 }];
    expect(dots((await timestepPlot({ estimates, label: 'loss' })).html)).toBe(2);
  });

  it('leaves out what a logarithmic axis cannot show', async () => {
    const plot = await timestepPlot({ estimates: [at(0, 2), at(10, 0), at(20, -1)], label: 'bits', logarithmic: true });
    expect(dots(plot.html)).toBe(1);
    expect(plot.html).not.toContain('NaN');
  });
});
