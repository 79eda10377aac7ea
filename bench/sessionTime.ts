import { InferenceSession } from 'onnxruntime-node';

/** Runs work while the time that all sessions created in it spend in `session.run` is added up; `inside` reads the sum. */
export async function withSessionTime<T>(work: (inside: () => number) => Promise<T>): Promise<T> {
  const create = InferenceSession.create;
  let inside = 0;
  InferenceSession.create = async (...args: unknown[]) => {
    const session: InferenceSession = await Reflect.apply(create, InferenceSession, args);
    const plain = session.run;
    session.run = async (...feeds: unknown[]) => {
      const started = performance.now();
      const answer = await Reflect.apply(plain, session, feeds);
      inside += performance.now() - started;
      return answer;
    };
    return session;
  };
  try {
    return await work(() => inside);
  } finally {
    InferenceSession.create = create;
  }
}
