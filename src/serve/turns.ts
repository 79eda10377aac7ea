// a turn takes far less
const lostAfter = 100;

/**
 * Lets one after the other go on, each in a turn of the event loop of its own: runs that share network calls end together,
 * and their pictures in one go would keep everyone else waiting. Who is alone does not wait.
 */
export function createTurns(): () => Promise<void> {
  let last: Promise<void> | undefined;
  return async () => {
    const before = last;
    const mine = turnAfter(before);
    last = mine;
    void mine.then(() => {
      if (last === mine) last = undefined;
    });
    if (before) await settled(before);
  };
}

async function turnAfter(before: Promise<void> | undefined): Promise<void> {
  if (before) await settled(before);
  await new Promise((resolve) => setTimeout(resolve));
}

/** In a Cloudflare Worker the timers of a request end with it, and whoever waits for one of another's is told so, or not. */
async function settled(before: Promise<void>): Promise<void> {
  const lost = new Promise((resolve) => setTimeout(resolve, lostAfter));
  await Promise.race([before, lost]).catch(() => undefined);
}
