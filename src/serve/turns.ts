/**
 * Lets one after the other go on, each in a turn of the event loop of its own: runs that share network calls end together,
 * and their pictures in one go would keep everyone else waiting. Who is alone does not wait.
 */
export function createTurns(): () => Promise<void> {
  let last: Promise<void> | undefined;
  return async () => {
    const before = last;
    const mine = (before ?? Promise.resolve()).then(() => new Promise<void>((resolve) => setTimeout(resolve)));
    last = mine;
    void mine.then(() => {
      if (last === mine) last = undefined;
    });
    await before;
  };
}
