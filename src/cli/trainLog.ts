import type { Averages, BegunEvent, Evaluated, StepEvent, TrainingEvent } from '../train/events.ts';

/** What has happened in a run so far. */
export class TrainLog {
  begun?: BegunEvent;
  readonly records: Averages[] = [];
  readonly evaluations: Evaluated[] = [];
  /** The last step of this session. */
  private last?: StepEvent;
  private first?: StepEvent;
  private steps = 0;
  private secondsAnImage = 0;

  /** @param checkpoint the name of the newest checkpoint, if there is one */
  constructor(public checkpoint: string | undefined) {}

  take(event: TrainingEvent): void {
    if (event.type === 'begun') {
      this.begun = event;
      for (const entry of event.history) {
        if ('heldOut' in entry) this.evaluations.push(entry);
        else this.records.push(entry);
      }
    } else if (event.type === 'step') {
      this.first ??= event;
      this.last = event;
      this.steps++;
      this.secondsAnImage += 1 / event.imagesPerSecond;
    } else if (event.type === 'record') this.records.push(event);
    else if (event.type === 'evaluation') this.evaluations.push(event);
    else if (event.type === 'checkpoint') this.checkpoint = event.name;
  }

  /** Optimizer steps done. */
  get step(): number {
    return this.last?.step ?? this.begun?.step ?? 0;
  }

  /** How much of the run is done, 0 to 1. */
  get progress(): number {
    const { steps } = this.begun?.config ?? {};
    return this.last?.progress ?? (steps ? Math.min(this.step / steps, 1) : 0);
  }

  /** How long the run has taken, the sessions before included. */
  get seconds(): number {
    return this.last?.seconds ?? this.records.at(-1)?.seconds ?? 0;
  }

  /** How long the rest takes at the pace of this session. */
  get secondsLeft(): number | undefined {
    const { first, last } = this;
    if (!first || !last || last.progress <= first.progress) return undefined;
    return ((last.seconds - first.seconds) / (last.progress - first.progress)) * Math.max(1 - last.progress, 0);
  }

  /** Of this session. */
  get imagesPerSecond(): number | undefined {
    return this.steps === 0 ? undefined : this.steps / this.secondsAnImage;
  }
}
