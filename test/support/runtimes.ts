import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

const { platform, arch } = process;
// the packages that hold the executables themselves; none of them needs an install script
const executables = {
  workerd: `@cloudflare/workerd-${platform}-${arch === 'x64' ? '64' : arch}/bin/workerd`,
  deno: `@deno/${platform}-${arch}${platform === 'linux' ? '-glibc' : ''}/deno`,
  bun: `@oven/bun-${platform}-${arch === 'arm64' ? 'aarch64' : arch}/bin/bun`,
};

/** The executable of a runtime that is installed among the development dependencies, or undefined. */
export function executableOf(runtime: keyof typeof executables): string | undefined {
  const file = path.resolve('node_modules', executables[runtime]);
  return existsSync(file) ? file : undefined;
}

/** A server in a process of its own. */
export interface Served {
  readonly url: string;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** Starts an example that is run as a file, on a free port. */
export async function serveExample(command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Served> {
  const [executable, ...args] = command;
  const child = spawn(executable, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PORT: '0', ...env },
  });
  const url = await firstMatch(child, child.stdout!, /http:\/\/[^\s"]+/);
  return { url: url.replace(/\/$/, ''), child, stop: () => end(child) };
}

// a runtime that says nothing is ended
const patience = 60_000;

/** What a process says on a stream that matches; rejects where it ends before, or says nothing of the kind. */
export function firstMatch(child: ChildProcess, stream: NodeJS.ReadableStream, pattern: RegExp): Promise<string> {
  const timer = setTimeout(() => child.kill('SIGKILL'), patience);
  return new Promise<string>((resolve, reject) => {
    createInterface({ input: stream }).on('line', (line) => {
      const found = pattern.exec(line);
      if (found) resolve(found[1] ?? found[0]);
    });
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`${child.spawnfile} ended with ${code}`)));
  }).finally(() => clearTimeout(timer));
}

/** Ends a process at once, and waits until it is gone. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}
