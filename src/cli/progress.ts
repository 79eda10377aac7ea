import type { SingleBar } from 'cli-progress';

/** A bar on stderr where it is a terminal, and nothing elsewhere; `texts` are what its format names. */
export async function progressBar(
  total: number,
  quiet: boolean,
  format = '{bar} {value}/{total} steps, {eta_formatted} left',
  texts: Readonly<Record<string, string>> = {},
): Promise<{ step(done: number, texts?: Readonly<Record<string, string>>): void; stop(): void }> {
  if (quiet || !process.stderr.isTTY) return { step() {}, stop() {} };
  const { default: progress } = await import('cli-progress');
  const bar: SingleBar = new progress.SingleBar({
    format,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 32,
    clearOnComplete: true,
    hideCursor: true,
    stream: process.stderr,
  });
  bar.start(total, 0, texts);
  return { step: (done, texts = {}) => bar.update(done, texts), stop: () => bar.stop() };
}

/** An AbortSignal that Ctrl-C aborts once; a second Ctrl-C ends the process as usual. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  process.once('SIGTERM', () => controller.abort());
  return controller.signal;
}
