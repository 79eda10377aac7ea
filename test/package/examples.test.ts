import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

describe('examples run as their first lines say', () => {
  it('minimal.ts samples what its network was made for: mean and deviation within 0.01', () => {
    const { status, stdout, stderr } = spawnSync('npx', ['tsx', 'examples/minimal.ts'], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    const [, mean, deviation] = stdout.match(/mean ([\d.]+) of 0\.5, deviation ([\d.]+) of 0\.1/)!.map(Number);
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.01);
    expect(Math.abs(deviation - 0.1)).toBeLessThan(0.01);
  });
});
