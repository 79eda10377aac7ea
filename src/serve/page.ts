import { html, raw } from 'hono/html';
import type { Pipeline } from '../pipeline.ts';
import { problemOf } from './problem.ts';
import { parseRequest, queryObject, type requestSchemas } from './request.ts';

/** A form, and the images that it asked for: one page without scripts. */
export function page(
  { model }: Pipeline,
  schema: ReturnType<typeof requestSchemas>['samples'],
  query: URLSearchParams,
) {
  // a form sends its empty fields, too
  const asked = new URLSearchParams([...query].filter(([, value]) => value !== ''));
  const field = (name: string, fallback = '') => asked.get(name) ?? fallback;
  const { options } = schema.entries.sampler.pipe[0].wrapped;
  const option = (name: string, value: string, text: string) =>
    html`<option value="${value}" ${field(name) === value ? 'selected' : ''}>${text}</option>`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${model.name}</title>
<style>${raw(style)}</style>
</head>
<body>
<main>
<h1>${model.name}</h1>
<form>
<label>Images <input name="count" type="number" min="1" value="${field('count', '16')}"></label>
<label>Seed <input name="seed" inputmode="numeric" pattern="[0-9]{1,20}" value="${field('seed', '0')}"></label>
<label>Steps <input name="steps" type="number" min="1" value="${field('steps')}" placeholder="the model's"></label>
<label>Sampler <select name="sampler">${option('sampler', '', "the model's")}${options.map((name) => option('sampler', name, name))}</select></label>
${
  model.classes > 0
    ? html`<label>Class <select name="class">${option('class', '', 'each in turn')}${classesOf(model).map(([value, name]) => option('class', value, name))}</select></label>`
    : ''
}
<button>Sample</button>
</form>
${asked.size > 0 ? result(asked, schema) : ''}
<p><a href="openapi.json">API</a> <a href="v1/model">model</a></p>
</main>
</body>
</html>
`;
}

function result(asked: URLSearchParams, schema: ReturnType<typeof requestSchemas>['samples']) {
  try {
    parseRequest(schema, queryObject(asked));
  } catch (error) {
    return html`<p role="alert">${problemOf(error).message}</p>`;
  }
  return html`<img src="v1/samples?${asked.toString()}" alt="${asked.get('count') ?? 'One'} images, seed ${asked.get('seed') ?? '0'}">`;
}

/** Values and names of the classes that show something; lists of thousands are typed elsewhere. */
function classesOf({ classes, labels, unconditional }: Pipeline['model']): [string, string][] {
  return Array.from({ length: Math.min(classes, 1000) }, (_, i): [string, string] => [
    String(i),
    labels?.[i] ?? String(i),
  ]).filter(([value]) => Number(value) !== unconditional);
}

const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #5b6470; --line: #d8dce2; --paper: #ffffff; --mark: #2f6fb0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --quiet: #9aa4b0; --line: #363c45; --paper: #14171b; --mark: #6aa9e9; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 48rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin: 1rem 0; }
label { display: grid; gap: .2rem; color: var(--quiet); font-size: .85rem; }
input, select, button { font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: 6px; padding: .35rem .6rem; }
input { width: 8rem; }
select { background: var(--paper); }
button { border-color: var(--mark); color: var(--mark); }
img { max-width: 100%; image-rendering: pixelated; border: 1px solid var(--line); }
a { color: var(--mark); }
`;
