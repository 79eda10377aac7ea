import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { validate } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/cli.ts';
import { serveCli } from '../support/server.ts';

const systemdAnalyze = '/usr/bin/systemd-analyze';

describe('files to deploy with', () => {
  it('Dockerfile has nothing for its linter to say', () => {
    expect(validate(readFileSync('Dockerfile', 'utf8'))).toEqual([]);
  });

  it('Dockerfile copies what .dockerignore lets through, runs as another user than root, and looks at its health', () => {
    const dockerfile = readFileSync('Dockerfile', 'utf8');
    const allowed = readFileSync('.dockerignore', 'utf8').match(/^!.+$/gm)!;
    for (const name of allowed) expect(existsSync(name.slice(1)), name).toBe(true);
    // what `npm run build` reads
    for (const name of ['src', 'assembly', 'asconfig.json', 'tsconfig.build.json', 'tsconfig.json'])
      expect(allowed).toContain(`!${name}`);
    expect(dockerfile).toMatch(/^USER node$/m);
    expect(dockerfile).toMatch(/^HEALTHCHECK .*\n? *CMD \["node", "--eval", /m);
    const [, entry] = /^ENTRYPOINT \["node", "([^"]+)"/m.exec(dockerfile)!;
    expect(existsSync(entry)).toBe(true);
  });

  it("Dockerfile's check of health succeeds where /readyz does, and fails where nothing listens", async () => {
    const [, command] = /CMD \["node", "--eval", (".*")\]$/m.exec(readFileSync('Dockerfile', 'utf8'))!;
    const check = (address: string) => {
      const script = (JSON.parse(command) as string).replace('127.0.0.1:8080', address);
      return once(spawn(process.execPath, ['--eval', script]), 'close').then(([code]) => code);
    };
    const { url, child, exit } = await serveCli(['--device', 'cpu']);
    const { host } = new URL(url);
    await expect.poll(() => check(host), { timeout: 20_000 }).toBe(0);
    child.kill('SIGTERM');
    await exit;
    expect(await check(host)).toBe(1);
  });

  it('compose.yaml has nothing for its linter to say, errors or warnings', () => {
    const args = ['node_modules/dclint/bin/dclint.cjs', 'compose.yaml', '--max-warnings=0'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(status, stdout + stderr).toBe(0);
  });

  it.runIf(existsSync(systemdAnalyze))('the systemd unit verifies, and is exposed to 1.5 of 10 at most', () => {
    const unit = readFileSync('examples/systemd/ddpm-wasm.service', 'utf8');
    const file = path.join(temporaryFolder(), 'ddpm-wasm.service');
    // it must find what it starts
    writeFileSync(file, unit.replace('/usr/bin/node', process.execPath));
    const run = (...args: string[]) => spawnSync(systemdAnalyze, [...args, file], { encoding: 'utf8' });
    const { status, stdout, stderr } = run('verify', '--man=no');
    expect([status, stdout + stderr]).toEqual([0, '']);
    expect(run('security', '--offline=true', '--threshold=15').status).toBe(0);
  });

  it('every example of a server is under 40 lines', () => {
    for (const folder of ['worker', 'worker-remote', 'deno', 'bun', 'lambda'])
      for (const name of readdirSync(`examples/${folder}`).filter((name) => name.endsWith('.ts')))
        expect(readFileSync(`examples/${folder}/${name}`, 'utf8').split('\n').length, name).toBeLessThan(40);
  });

  it("worker-remote's plan is the one that `inspect` prints", () => {
    const printed = spawnSync(process.execPath, ['dist/cli/main.js', 'inspect', 'fashion', '--steps', '10', '--json'], {
      encoding: 'utf8',
    });
    const kept = JSON.parse(readFileSync('examples/worker-remote/plan.json', 'utf8'));
    expect(kept.plan).toEqual(JSON.parse(printed.stdout).plan);
  });
});
