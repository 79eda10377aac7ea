import type { TrainingConfig } from './configSchema.ts';
import type { Averages, Evaluated, HistoryEntry, RecordEvent, StepEvent } from './events.ts';
import type { FeedPosition } from './feed.ts';
import type { Moment } from './rates.ts';

/** Where a run begins. */
export interface ProgressStart {
  readonly config: Pick<TrainingConfig, 'steps' | 'minutes'>;
  readonly start: FeedPosition & {
    readonly step: number;
    readonly seconds: number;
    readonly history: readonly HistoryEntry[];
  };
}

/** What a step gave. */
interface StepResult {
  readonly loss: number;
  /** The mean squared error of its images. */
  readonly error: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly images: number;
  /** Where the data is after it. */
  readonly position: FeedPosition;
}

const averaged = ['loss', 'error', 'gradientNorm'] as const;

/** How far a run is, how long it has taken, and what was measured so far. */
export class Progress {
  step: number;
  position: FeedPosition;
  readonly history: HistoryEntry[];
  private readonly before: number;
  private readonly begun = performance.now();
  private last = this.begun;
  private sums = emptySums();

  constructor(private readonly run: ProgressStart) {
    const { step, seconds, history, epoch, position } = run.start;
    this.step = step;
    this.before = seconds;
    this.position = { epoch, position };
    this.history = [...history];
  }

  /** How long the run has taken, the time before checkpoints included. */
  get seconds(): number {
    return this.before + (performance.now() - this.begun) / 1000;
  }

  get done(): boolean {
    return this.fraction >= 1;
  }

  /** How much of the run is done, from 0 to 1. */
  get fraction(): number {
    const { steps, minutes } = this.run.config;
    return steps !== null ? this.step / steps : this.seconds / (60 * minutes!);
  }

  /** What the next step's rates depend on. */
  moment(): Moment {
    return { step: this.step, progress: this.fraction };
  }

  /** Takes in a step; from time to time the means over some. */
  *add(result: StepResult): Generator<StepEvent | RecordEvent, void, void> {
    this.step++;
    this.position = result.position;
    const now = performance.now();
    const took = (now - this.last) / 1000;
    this.last = now;
    const { step, seconds, sums } = this;
    const { loss, gradientNorm, learningRate, images } = result;
    const imagesPerSecond = images / took;
    yield { type: 'step', step, loss, gradientNorm, learningRate, imagesPerSecond, progress: this.fraction, seconds };

    for (const key of averaged) sums[key] += result[key];
    sums.steps++;
    sums.images += images;
    sums.seconds += took;
    if (step % this.interval !== 0 && !this.done) return;
    const mean = (key: (typeof averaged)[number]) => rounded(sums[key] / sums.steps);
    const averages: Averages = {
      ...{ step, epoch: result.position.epoch, loss: mean('loss'), error: mean('error') },
      ...{ gradientNorm: mean('gradientNorm'), learningRate: rounded(learningRate) },
      ...{ imagesPerSecond: rounded(sums.images / sums.seconds), seconds: rounded(seconds) },
    };
    this.sums = emptySums();
    this.history.push(averages);
    yield { type: 'record', ...averages };
  }

  /** Keeps what an evaluation found. */
  evaluated(found: Evaluated): void {
    this.history.push(found);
  }

  /** Time that was spent on something else than steps. */
  pause(): void {
    this.last = performance.now();
  }

  // about a thousand entries however long the run
  private get interval(): number {
    return Math.max(Math.floor((this.run.config.steps ?? 10_000) / 1000), 10);
  }
}

function emptySums() {
  return { loss: 0, error: 0, gradientNorm: 0, steps: 0, images: 0, seconds: 0 };
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
