import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import { cli } from './cli.ts';

/** A line of the log. */
export type LogLine = { readonly event: string } & Readonly<Record<string, unknown>>;

/** A server of the built command line on the loopback interface. */
export interface CliServer {
  readonly child: ChildProcess;
  readonly url: string;
  readonly log: readonly LogLine[];
  /** Its exit code, once it is over. */
  readonly exit: Promise<number | null>;
}

/** Starts `ddpm-wasm serve` on a free port or a given one; it is gone when the test is over. */
export async function serveCli(
  args: readonly (string | number)[],
  env: Record<string, string> = {},
  port = '0',
): Promise<CliServer> {
  const child = spawn(process.execPath, [cli, 'serve', ...args.map(String), '--port', port], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const exit = once(child, 'close').then(([code]) => code as number | null);
  const log: LogLine[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const entry = JSON.parse(line) as LogLine;
      log.push(entry);
      if (entry.event === 'listening') resolve(entry.url as string);
    });
    void exit.then((code) => reject(new Error(`the server ended with ${code}`)));
  });
  return { child, url, log, exit };
}
