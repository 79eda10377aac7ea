/** One line of the bench: a figure, and what it ought to be. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Such as `>= 10`; absent where nothing is asked. */
  readonly target?: string;
}

/** Prints figures in aligned columns, each beside its target and whether it is met. */
export function printFigures(figures: readonly Figure[]): void {
  const width = Math.max(...figures.map(({ name }) => name.length));
  for (const { name, value, unit, target } of figures) {
    const verdict = target ? `target ${target}${meets(value, target) ? '' : ', MISSED'}` : '';
    console.log(`${name.padEnd(width)}  ${value.toFixed(2).padStart(8)} ${unit.padEnd(16)} ${verdict}`.trimEnd());
  }
}

function meets(value: number, target: string): boolean {
  const bound = Number(target.slice(2));
  return target.startsWith('>=') ? value >= bound : value <= bound;
}
