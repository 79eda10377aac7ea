/** Text made safe, and what is HTML already. */
export interface Html {
  readonly html: string;
}

/** HTML by template: what is put in is escaped, unless it is HTML itself; lists are joined. */
export function html(parts: TemplateStringsArray, ...values: readonly unknown[]): Html {
  return { html: String.raw({ raw: parts }, ...values.map(toHtml)) };
}

/** Text that is HTML already, such as a plot. */
export function asHtml(text: string): Html {
  return { html: text };
}

/** A PNG inside the page. */
export function picture(png: Uint8Array, description: string): Html {
  const source = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
  return html`<img src="${source}" alt="${description}">`;
}

/** A whole page that needs nothing from anywhere else; one that is rewritten can load itself again after some seconds. */
export function page(title: string, body: Html, { refresh }: { readonly refresh?: number } = {}): string {
  const { html: text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
${refresh !== undefined && html`<meta http-equiv="refresh" content="${refresh}">`}
<title>${title}</title>
<style>${asHtml(style)}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
  return text;
}

function toHtml(value: unknown): string {
  if (Array.isArray(value)) return value.map(toHtml).join('');
  if (value === undefined || value === null || value === false) return '';
  if (typeof value === 'object' && 'html' in value) return String(value.html);
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #5b6470; --line: #d8dce2; --paper: #ffffff;
  --mark: #2f6fb0; --second: #c2661c; --third: #2e8555; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --quiet: #9aa4b0; --line: #363c45; --paper: #14171b;
    --mark: #6aa9e9; --second: #e8a065; --third: #66c492; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
p { margin: .4rem 0; max-width: 44rem; }
.quiet { color: var(--quiet); }
.warning { border-left: 4px solid #c9822b; padding: .4rem .8rem; background: color-mix(in srgb, #c9822b 12%, transparent); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.25rem 0; }
.figures div { border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; }
.figures strong { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.figures small { font-size: .85rem; font-weight: 400; white-space: nowrap; }
.figures span { color: var(--quiet); font-size: .85rem; display: block; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.25rem; }
figure { margin: 0; }
figcaption { color: var(--quiet); font-size: .9rem; margin-bottom: .35rem; }
img { max-width: 100%; image-rendering: pixelated; border: 1px solid var(--line); }
svg { max-width: 100%; height: auto; color: var(--ink); }
.scroll { overflow-x: auto; }
.narrow { display: none; }
@media (max-width: 40rem) { .wide { display: none; } .narrow { display: block; } }
.trio { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1.25rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .4rem 0; font-size: .9rem; }
.legend span::before { content: ''; display: inline-block; width: 1.1rem; height: .22rem; margin-right: .45rem;
  vertical-align: middle; border-radius: 2px; background: var(--colour); }
.strip { display: flex; gap: .75rem; overflow-x: auto; padding-bottom: .5rem; margin-top: 1rem; }
.strip figure { flex: 0 0 8rem; }
.strip img { width: 100%; }
.sheet img { width: 32rem; }
.bar { height: .5rem; border-radius: 4px; background: var(--line); overflow: hidden; margin: .9rem 0; max-width: none; }
.bar div { height: 100%; background: var(--mark); }
summary { cursor: pointer; color: var(--quiet); margin-top: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: left; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 500; color: var(--quiet); }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; font-size: .88rem; }
`;
