import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseHTML } from 'linkedom';
import { chromium } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { curvePlot } from '../../src/report/curves.ts';
import { type TrainingReport, trainingReport } from '../../src/report/training.ts';
import { duration, shortCount } from '../../src/report/words.ts';
import { png } from '../datasets/support.ts';
import { temporaryFolder } from '../support/cli.ts';

const record = (step: number, error: number) => {
  return { step, loss: error, error, gradientNorm: 1, learningRate: 1e-3, imagesPerSecond: 100 };
};
const report: TrainingReport = {
  ...{ name: 'run <1>', state: 'running', step: 500, steps: 2000, progress: 0.25, seconds: 130, secondsLeft: 390 },
  parameters: 1_773_421,
  records: Array.from({ length: 50 }, (_, i) => record(10 * (i + 1), 1 / (1 + i))),
  evaluations: [250, 500].map((step) => ({ step, heldOut: { mean: 0.05, standardError: 0.001, count: 64 } })),
  sheets: [250, 500].map((step) => ({ step, png: png(32, 32, 90) })),
  notes: ['images of 28x28 are scaled to <16x16>'],
  settings: { data: 'a & b', seed: 7 },
  config: { steps: 2000 },
  commands: ["ddpm-wasm train --out 'run <1>' --resume"],
  written: new Date(0),
};
const parse = async (changes: Partial<TrainingReport> = {}) =>
  parseHTML(await trainingReport({ ...report, ...changes }));

describe('the report of a training run', () => {
  it('escapes whatever comes from outside, and asks for nothing from outside', async () => {
    const { document } = await parse();
    expect(document.querySelectorAll('script, link, iframe')).toHaveLength(0);
    expect(document.querySelector('h1')!.textContent).toBe('run <1>');
    expect(document.body.textContent).toContain(report.notes[0]);
    expect([...document.querySelectorAll('pre')].at(-1)!.textContent).toBe(report.commands[0]);
    for (const image of document.querySelectorAll('img'))
      expect(image.getAttribute('src')).toMatch(/^data:image\/png;base64,/);
  });

  it('loads itself again while the run goes on, and no longer when it has ended', async () => {
    const refresh = 'meta[http-equiv="refresh"]';
    expect((await parse()).document.querySelectorAll(refresh)).toHaveLength(1);
    for (const state of ['complete', 'interrupted', 'failed'] as const)
      expect((await parse({ state })).document.querySelectorAll(refresh)).toHaveLength(0);
    const { document } = await parse({ state: 'failed', message: 'step 7: the loss is NaN' });
    expect(document.querySelector('.warning')!.textContent).toBe('step 7: the loss is NaN');
  });

  it('draws the error beside the loss only where they differ', async () => {
    const names = async (changes = {}) =>
      [...(await parse(changes)).document.querySelectorAll('.legend span')].map((one) => one.textContent);
    expect(await names()).toEqual(['loss', 'held-out error']);
    const weighted = report.records.map((one) => ({ ...one, loss: 2 * one.error }));
    expect(await names({ records: weighted, evaluations: [] })).toEqual(['loss', 'error of the prediction']);
  });

  it('has nothing to draw at the beginning, and says so by leaving it out', async () => {
    const { document } = await parse({ step: 0, progress: 0, records: [], evaluations: [], sheets: [] });
    expect(document.querySelectorAll('svg, img')).toHaveLength(0);
    expect(document.querySelectorAll('.figures div')).toHaveLength(2);
  });
});

const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));

it.skipIf(!executablePath)(
  'the report opens in Chromium without a complaint, and fits a phone and a desktop',
  async () => {
    const file = path.join(temporaryFolder(), 'report.html');
    writeFileSync(file, await trainingReport(report));
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    try {
      for (const width of [360, 1200]) {
        const page = await browser.newPage({ viewport: { width, height: 800 } });
        const complaints: string[] = [];
        page.on('console', (message) => complaints.push(message.text()));
        page.on('pageerror', (error) => complaints.push(error.message));
        page.on('request', (request) => /^(file|data):/.test(request.url()) || complaints.push(request.url()));
        await page.goto(pathToFileURL(file).href);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
        expect(await page.locator('svg:visible').count()).toBe(4);
        expect(await page.evaluate(() => [...document.images].every((image) => image.naturalWidth > 0))).toBe(true);
        expect(complaints).toEqual([]);
        await page.close();
      }
    } finally {
      await browser.close();
    }
  },
);

describe('curves', () => {
  const curves = (points: { step: number; value: number }[]) => [{ name: 'loss', colour: 'red', points }];
  const size = { width: 400, height: 300 };

  it('leave out what is no number and what a logarithmic axis cannot show', async () => {
    const values = [1, Number.NaN, 0.5, 0, 0.25, Number.POSITIVE_INFINITY];
    const points = values.map((value, step) => ({ step, value }));
    const { html } = await curvePlot({ ...size, curves: curves(points), logarithmic: true });
    expect(parseHTML(html).document.querySelectorAll('circle')).toHaveLength(3);
    expect(html).not.toMatch(/NaN|Infinity/);
  });

  it('take no more room for a hundred thousand points than for a thousand', async () => {
    const picture = async (count: number) => {
      const points = Array.from({ length: count }, (_, i) => ({ step: i, value: 1 + (i % 7) }));
      return (await curvePlot({ ...size, curves: curves(points) })).html.length;
    };
    expect(await picture(100_000)).toBeLessThan(1.5 * (await picture(1000)));
  });

  it('can be drawn of one point, and of none', async () => {
    for (const points of [[], [{ step: 10, value: 0.5 }]])
      for (const logarithmic of [true, false]) {
        const { html } = await curvePlot({ ...size, curves: curves(points), logarithmic });
        expect(html).toMatch(/^<svg/);
        expect(html).not.toMatch(/NaN|Infinity/);
      }
  });
});

describe('words', () => {
  it('say times and counts as a person would', () => {
    expect([0.4, 99, 100, 3600, 11_100].map(duration)).toEqual(['0 s', '99 s', '2 min', '60 min', '3 h 05 min']);
    expect([7, 942, 87_140, 1_773_421, 2.5e9].map(shortCount)).toEqual(['7', '942', '87.1 k', '1.77 M', '2.5 G']);
  });
});
