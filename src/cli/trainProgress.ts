import { withError } from '../report/evaluation.ts';
import { duration, round, shortCount } from '../report/words.ts';
import type { BegunEvent, TrainingEvent } from '../train/events.ts';
import { progressBar } from './progress.ts';
import type { TrainLog } from './trainLog.ts';

/** Tells on stderr how far a run is: a bar where that is a terminal, elsewhere a line now and then. */
export async function showProgress(log: TrainLog, { quiet, signal }: { quiet: boolean; signal: AbortSignal }) {
  const terminal = Boolean(process.stderr.isTTY);
  let bar: Awaited<ReturnType<typeof progressBar>> | undefined;
  const stop = () => {
    bar?.stop();
    bar = undefined;
  };
  signal.addEventListener('abort', () => {
    const waited = bar !== undefined;
    stop();
    if (waited) console.error('ending after this step, with a checkpoint; Ctrl-C again ends at once');
  });
  return {
    async take(event: TrainingEvent): Promise<void> {
      if (quiet) return;
      if (event.type === 'begun') {
        console.error(beginning(event));
        for (const note of event.notes) console.error(`note: ${note}`);
        if (terminal) bar = await progressBar(1000, false, '{bar} {text}', { text: '' });
      }
      if (terminal) bar?.step(Math.floor(1000 * log.progress), { text: state(log).join(' · ') });
      else if (event.type === 'record') console.error(state(log).join(', '));
      else if (event.type === 'evaluation') console.error(`step ${event.step}, held out ${withError(event.heldOut)}`);
    },
    stop,
  };
}

function beginning({ parameters, members, step }: BegunEvent): string {
  const threads = members === 1 ? '' : `, ${members} threads`;
  return `${shortCount(parameters)} parameters${threads}${step === 0 ? '' : `, going on after step ${step}`}`;
}

/** Where it is; the end of a long line may not fit. */
function state(log: TrainLog): string[] {
  const { step, records, evaluations, imagesPerSecond, secondsLeft } = log;
  const steps = log.begun?.config.steps;
  const [record, evaluation] = [records.at(-1), evaluations.at(-1)];
  return [
    `step ${step}${steps ? `/${steps}` : ''}`,
    ...(secondsLeft === undefined ? [] : [`${duration(secondsLeft)} left`]),
    ...(record ? [`loss ${round(record.loss, 3)}`] : []),
    ...(evaluation ? [`held out ${withError(evaluation.heldOut)}`] : []),
    ...(imagesPerSecond === undefined ? [] : [`${round(imagesPerSecond, 3)} images/s`]),
  ];
}
