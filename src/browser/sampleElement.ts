import { html, LitElement, nothing } from 'lit';
import { DdpmError } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { untilAborted } from '../core/untilAborted.ts';
import type { Step } from '../diffusion/sample.ts';
import type { DownloadProgress } from '../runtime/types.ts';
import { loadWorkerPipeline, type WorkerPipeline, type WorkerSampleOptions } from './client.ts';
import { drawImages } from './draw.ts';
import { classesIn, numberIn, seedIn } from './sampleAttributes.ts';
import { sampleStyles } from './sampleStyles.ts';

/** What `progress` events tell: of a download in bytes, of a run the step that was drawn. */
export type SampleProgress =
  | ({ readonly phase: 'load' } & DownloadProgress)
  | ({ readonly phase: 'sample'; readonly steps: number } & Step);

/** What `done` events tell. */
export interface SampleResult {
  /** [count, channels, height, width], float32 in about [-1, 1]. */
  readonly images: Tensor;
  readonly seed: number | bigint;
  readonly device: string;
  readonly milliseconds: number;
}

/** What the attributes do not say; `cancel` is the signal. */
export type ElementSampleOptions = Omit<WorkerSampleOptions, 'signal'>;

/**
 * Samples a model and draws every step, in a worker of its own. `ddpm-wasm/element` registers it as `<ddpm-sample>`.
 *
 * Attributes, each a property too: `model` (a URL or bundled name), `count`, `sampler`, `steps`, `seed`, `guidance`,
 * `device`, `wasm-paths` (property `wasmPaths`), `autoplay` (samples by itself, again when an attribute changes), and
 * `class` (property `imageClass`): a class by name or index, or several with commas. A `class` that names none is left
 * to style sheets.
 *
 * Events: `progress` (`SampleProgress`), `done` (`SampleResult`), `error` (an Error; `code` as everywhere), `cancel`.
 * Parts: `canvas`, `progress`, `controls`, `button`, `status`, `error`. Custom properties: `--ddpm-accent`,
 * `--ddpm-on-accent`, `--ddpm-background`, `--ddpm-well`, `--ddpm-text`, `--ddpm-muted`, `--ddpm-border`, `--ddpm-danger`,
 * `--ddpm-radius`, `--ddpm-padding`, `--ddpm-size`, `--ddpm-font`. With prefers-reduced-motion only the end is drawn.
 *
 * @example
 * <script type="module" src="/ddpm-wasm/standalone/element.js"></script>
 * <ddpm-sample model="/models/fashion" count="9" steps="20" class="Sneaker"></ddpm-sample>
 */
export class DdpmSample extends LitElement {
  static override styles = sampleStyles;
  static override properties = {
    model: {},
    count: { converter: numberIn },
    sampler: {},
    steps: { converter: numberIn },
    seed: { converter: seedIn },
    guidance: { converter: numberIn },
    device: {},
    wasmPaths: { attribute: 'wasm-paths' },
    autoplay: { type: Boolean },
    imageClass: { attribute: false },
    styleClass: { attribute: 'class' },
    phase: { state: true },
    fraction: { state: true },
    message: { state: true },
    detail: { state: true },
  };

  declare model: string;
  declare count: number;
  declare sampler: WorkerSampleOptions['sampler'];
  declare steps: number | undefined;
  declare seed: number | bigint;
  declare guidance: number | undefined;
  declare device: 'auto' | 'webgpu' | 'wasm';
  declare wasmPaths: string | undefined;
  declare autoplay: boolean;
  /** A class of the model by name or index, or one for each image; instead of the attribute `class`. */
  declare imageClass: WorkerSampleOptions['class'];
  declare private styleClass: string | null;
  declare private phase: 'idle' | 'loading' | 'sampling' | 'done' | 'failed';
  /** How much is done, 0 to 1, or undefined where that is not known. */
  declare private fraction: number | undefined;
  declare private message: string;
  declare private detail: string;

  #pipeline: Promise<WorkerPipeline> | undefined;
  #loaded: WorkerPipeline | undefined;
  #loading = new AbortController();
  #run: AbortController | undefined;

  constructor() {
    super();
    this.model = 'fashion';
    this.count = 4;
    this.seed = 0;
    this.device = 'auto';
    this.autoplay = false;
    this.phase = 'idle';
    this.message = '';
    this.detail = '';
  }

  /** The pipeline that the element samples with, loaded at the first call. */
  pipeline(): Promise<WorkerPipeline> {
    this.#pipeline ??= this.#load();
    return this.#pipeline;
  }

  /**
   * Samples what the attributes say, or `options` instead, and draws it. A run under way is given up for it.
   *
   * @throws What the `error` event tells; DdpmError `cancelled` when it is given up.
   */
  async sample(options: ElementSampleOptions = {}): Promise<Tensor> {
    this.cancel();
    const run = new AbortController();
    this.#run = run;
    try {
      const result = await this.#sample(options, run);
      this.#emit('done', result);
      return result.images;
    } catch (error) {
      if (run.signal.aborted) throw run.signal.reason;
      this.phase = 'failed';
      this.message = (error as Error).message;
      this.#emit('error', error);
      throw error;
    } finally {
      if (this.#run === run) this.#run = undefined;
    }
  }

  /** Gives up the run under way, if there is one; what is drawn stays. */
  cancel(): void {
    if (!this.#run) return;
    this.#run.abort(new DdpmError('cancelled', 'the run was given up'));
    this.#run = undefined;
    this.phase = 'idle';
    this.message = 'Stopped';
    this.#emit('cancel', undefined);
  }

  /** What is drawn, as an image file in the model's own pixels. @throws DdpmError `output-failed` before the first step. */
  async toBlob(type = 'image/png', quality?: number): Promise<Blob> {
    const canvas = this.renderRoot.querySelector('canvas');
    const blob =
      canvas &&
      this.detail !== '' &&
      (await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, type, quality)));
    if (!blob) throw new DdpmError('output-failed', 'nothing is drawn yet');
    return blob;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    // an element that is only moved is connected again by then
    queueMicrotask(() => {
      if (!this.isConnected) this.#unload();
    });
  }

  protected override updated(changed: Map<PropertyKey, unknown>): void {
    const asked = ['count', 'sampler', 'steps', 'seed', 'guidance', 'imageClass', 'styleClass', 'autoplay'];
    const loading = ['model', 'device', 'wasmPaths'].some((name) => changed.has(name));
    const starting = this.autoplay && (loading || asked.some((name) => changed.has(name)));
    // what these change is for the next update
    queueMicrotask(() => {
      if (loading && this.#pipeline) this.#unload();
      if (starting && this.isConnected) this.#start();
    });
  }

  protected override render() {
    const { phase } = this;
    const busy = phase === 'loading' || phase === 'sampling';
    const labels = this.#loaded?.model.labels;
    return html`
      <div class="well" aria-busy=${busy}>
        <canvas part="canvas" width="64" height="64" role="img" aria-label=${this.#description()}></canvas>
        ${this.detail === '' ? html`<p class="hint" aria-hidden="true">${busy ? 'Loading the model' : 'No images yet'}</p>` : nothing}
      </div>
      <progress part="progress" aria-label="Progress" max="1" .value=${busy ? (this.fraction ?? 0) : Number(phase === 'done')}></progress>
      <div class="controls" part="controls" @keydown=${this.#onKey}>
        <button class="go" part="button" @click=${busy ? () => this.cancel() : this.#start}>${busy ? 'Stop' : 'Sample'}</button>
        <button part="button" @click=${this.#reseed}>New seed</button>
        ${labels ? this.#classPicker(labels) : nothing}
      </div>
      <div class="lines">
        <p part="status" role="status">${phase === 'failed' ? '' : this.message}</p>
        <p>${this.detail}</p>
      </div>
      <p class="error" part="error" role="alert">${phase === 'failed' ? this.message : ''}</p>
    `;
  }

  #classPicker(labels: readonly string[]) {
    const chosen = String(this.#classes() ?? '');
    const choose = ({ target }: Event) => {
      const { value } = target as HTMLSelectElement;
      this.imageClass = value === '' ? undefined : Number(value);
      this.styleClass = null;
      if (!this.autoplay) this.#start();
    };
    return html`
      <select aria-label="Class" part="button" @change=${choose}>
        <option value="" .selected=${chosen === ''}>Every class</option>
        ${labels.map((label, i) => html`<option value=${i} .selected=${[String(i), label].includes(chosen)}>${label}</option>`)}
      </select>
    `;
  }

  #description(): string {
    if (this.detail === '') return `Images sampled from ${this.model}: none yet`;
    return `${this.count} images sampled from ${this.model}${this.phase === 'done' ? '' : ', unfinished'}`;
  }

  async #sample(options: ElementSampleOptions, run: AbortController): Promise<SampleResult> {
    this.phase = 'loading';
    this.fraction = undefined;
    this.message = 'Loading';
    const pipeline = await untilAborted(this.pipeline(), run.signal);

    const begin = performance.now();
    const asked = { ...this.#options(), ...options, signal: run.signal };
    const plan = await pipeline.plan(asked);
    this.phase = 'sampling';
    this.message = 'Sampling';
    const quiet = matchMedia('(prefers-reduced-motion: reduce)').matches;
    let images: Tensor | undefined;
    for await (const step of pipeline.steps(asked)) {
      images = step.x;
      this.fraction = (step.index + 1) / plan.calls;
      this.detail = `${plan.sampler ?? 'own plan'}, ${step.index + 1} of ${plan.calls}, seed ${asked.seed}`;
      if (!quiet || step.index === plan.calls - 1) drawImages(this.renderRoot.querySelector('canvas')!, step.x);
      this.#emit('progress', { phase: 'sample', steps: plan.calls, ...step } satisfies SampleProgress);
    }
    const milliseconds = performance.now() - begin;
    this.phase = 'done';
    this.message = `Done in ${(milliseconds / 1000).toFixed(1)} s on ${pipeline.device}`;
    return { images: images!, seed: asked.seed, device: pipeline.device, milliseconds };
  }

  #options() {
    const { count, sampler, steps, seed, guidance } = this;
    // an attribute that is taken away leaves null
    return { count, sampler: sampler ?? undefined, steps, seed, guidance, class: this.#classes() };
  }

  #classes(): WorkerSampleOptions['class'] {
    return this.imageClass ?? classesIn(this.styleClass, this.#loaded?.model);
  }

  async #load(): Promise<WorkerPipeline> {
    const loading = new AbortController();
    this.#loading = loading;
    const onProgress = (progress: DownloadProgress) => {
      this.fraction = progress.total && progress.loaded / progress.total;
      this.#emit('progress', { phase: 'load', ...progress } satisfies SampleProgress);
    };
    const { model, device, wasmPaths } = this;
    try {
      const pipeline = await loadWorkerPipeline(model, { device, wasmPaths, onProgress, signal: loading.signal });
      if (loading.signal.aborted) await pipeline.dispose();
      loading.signal.throwIfAborted();
      this.#loaded = pipeline;
      return pipeline;
    } catch (error) {
      if (this.#loading === loading) this.#pipeline = undefined; // the next call tries again
      throw error;
    }
  }

  #unload(): void {
    this.cancel();
    this.#loading.abort(new DdpmError('cancelled', 'the element was removed, or given another model'));
    void this.#loaded?.dispose();
    this.#loaded = undefined;
    this.#pipeline = undefined;
  }

  /** Samples; what fails is told by the event and on the page. */
  readonly #start = (): void => {
    this.sample().catch(() => undefined);
  };

  readonly #reseed = (): void => {
    this.seed = crypto.getRandomValues(new Uint32Array(1))[0];
    if (!this.autoplay) this.#start();
  };

  readonly #onKey = ({ key }: KeyboardEvent): void => {
    if (key === 'Escape') this.cancel();
  };

  #emit(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
