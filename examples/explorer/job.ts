// What a panel asks the network for: at most one thing at a time, which can be stopped, with its progress and its error.
import { html, type ReactiveControllerHost } from 'lit';

export class Job {
  readonly #host: ReactiveControllerHost;
  #abort: AbortController | undefined;
  #message = '';
  #failed = false;
  /** How much is done, 0 to 1; undefined where that is not known. */
  #fraction: number | undefined;

  constructor(host: ReactiveControllerHost) {
    this.#host = host;
  }

  get busy(): boolean {
    return this.#abort !== undefined;
  }

  /** Starts something in place of what is under way; `say` tells of its progress, and what it returns is said at its end. */
  async start(
    work: (signal: AbortSignal, say: (message: string, fraction?: number) => void) => Promise<string>,
  ): Promise<void> {
    this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    const say = (message: string, fraction?: number) => {
      if (this.#abort === abort) this.#show(message, { fraction });
    };
    try {
      say('Waiting for the model…');
      const message = await work(abort.signal, say);
      if (this.#abort === abort) this.#end(message);
    } catch (error) {
      if (this.#abort === abort) this.#end((error as Error).message, true);
    }
  }

  stop(): void {
    if (!this.#abort) return;
    this.#abort.abort();
    this.#end('Stopped.');
  }

  /** A button that starts and stops, and lines for what there is to say. */
  render(name: string, start: () => void, { disabled = false } = {}) {
    const { busy } = this;
    return html`
      <div class="job">
        <button type="button" class="go" ?disabled=${disabled && !busy} @click=${busy ? () => this.stop() : start}>
          ${busy ? 'Stop' : name}
        </button>
        <progress aria-label="Progress" max="1" .value=${busy ? (this.#fraction ?? 0) : 0} ?hidden=${!busy}></progress>
        <p role="status">${this.#failed ? '' : this.#message}</p>
        <p role="alert" class="wrong">${this.#failed ? this.#message : ''}</p>
      </div>
    `;
  }

  #end(message: string, failed = false): void {
    this.#abort = undefined;
    this.#show(message, { failed });
  }

  #show(message: string, { fraction, failed = false }: { fraction?: number; failed?: boolean }): void {
    this.#message = message;
    this.#fraction = fraction;
    this.#failed = failed;
    this.#host.requestUpdate();
  }
}
