import { serveThread } from '#runtime';
import { type MemberTask, openMember } from './member.ts';

// a thread of `openCrew`: one member and nothing else
serveThread(async (task) => {
  const { compute, reduce, update } = await openMember(task as MemberTask);
  return { compute, reduce, update, ready: () => {} };
});
