// Numbers as they are read: a few digits, and all of them in the `value` of a <data>.
import { html, type TemplateResult } from 'lit';

export function short(value: number, digits = 4): string {
  if (Number.isNaN(value)) return '–';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value).replace('-', '−');
  if (size < 1e-4 || size >= 1e6) {
    const [mantissa, exponent] = value.toExponential(digits - 2).split('e');
    return `${mantissa} · 10${superscript(Number(exponent))}`.replace('-', '−');
  }
  return value.toPrecision(digits).replace('-', '−');
}

export function figure(value: number, digits?: number): TemplateResult {
  return html`<data value=${value}>${short(value, digits)}</data>`;
}

function superscript(exponent: number): string {
  return String(exponent).replace(/./g, (sign) => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(sign)]);
}
