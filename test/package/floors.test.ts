import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

// the floors of the design, ground first; a file imports from lower floors or from its own folder
const floors: Record<string, number> = {
  core: 1,
  runtime: 2,
  onnx: 2,
  engine: 3,
  model: 3,
  diffusion: 4,
  image: 4,
  metrics: 4,
  data: 5,
  evaluate: 5,
  resident: 5,
  sampling: 5,
  'pipeline.ts': 6,
  browser: 7,
  serve: 7,
  'index.ts': 7,
  'remote.ts': 7,
  'step.ts': 7,
  train: 7,
  report: 8,
  cli: 9,
};
const forbidden = [
  // a network knows no mathematics, and mathematics knows no network
  ['diffusion', 'model'],
  ['diffusion', 'onnx'],
  ['model', 'diffusion'],
  ['model', 'engine'],
  ['onnx', 'engine'],
];

const source = path.resolve('src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.split(path.sep).join('/'));

/** The room of a file: its folder under src, or the file itself at the top. */
const room = (file: string) => file.split('/')[0];

/** The files of src that a file imports, static and dynamic alike; #runtime stands for a runtime. */
function imports(file: string): string[] {
  const text = readFileSync(path.join(source, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].flatMap(([, name]) => {
    if (name === '#runtime') return ['runtime/node.ts', 'runtime/web.ts', 'runtime/workerd.ts'];
    return name.startsWith('.') ? [path.posix.join(path.posix.dirname(file), name)] : [];
  });
}

describe('source files', () => {
  it('stand on a floor that is known, and import files that exist', () => {
    for (const file of files) {
      expect(floors, file).toHaveProperty([room(file)]);
      for (const target of imports(file))
        expect(existsSync(path.join(source, target)), `${file}: ${target}`).toBe(true);
    }
  });

  it('import downwards only', () => {
    const upwards = files.flatMap((file) =>
      imports(file)
        .filter((target) => room(target) !== room(file) && floors[room(target)] >= floors[room(file)])
        .map((target) => `${file} imports ${target}`),
    );
    expect(upwards).toEqual([]);
  });

  it('keep networks and mathematics apart', () => {
    const mixed = files.flatMap((file) =>
      imports(file)
        .filter((target) => forbidden.some(([from, to]) => room(file) === from && room(target) === to))
        .map((target) => `${file} imports ${target}`),
    );
    expect(mixed).toEqual([]);
  });

  it('of metrics know rows of numbers only, the list of public names apart', () => {
    const others = files
      .filter((file) => room(file) === 'metrics' && file !== 'metrics/index.ts')
      .flatMap((file) => imports(file).filter((target) => !['metrics', 'core'].includes(room(target))));
    expect(others).toEqual([]);
  });

  it('are in no cycle', () => {
    const done = new Set<string>();
    const visit = (file: string, trail: string[]) => {
      expect(trail, `a cycle through ${file}`).not.toContain(file);
      if (done.has(file)) return;
      for (const target of imports(file)) visit(target, [...trail, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });

  it('have fewer than 300 lines, generated ones apart', () => {
    const long = files
      .filter((file) => !file.endsWith('_pb.ts') && !file.endsWith('engineBytes.ts'))
      .filter((file) => readFileSync(path.join(source, file), 'utf8').split('\n').length > 300);
    expect(long).toEqual([]);
  });
});
