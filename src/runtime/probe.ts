import { execFile } from 'node:child_process';

// an ONNX model of one node, y = Identity(x), x float32 [1]
const identityModel = 'CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCAhAR';

const script = `
  const [entry, provider, model] = process.argv.slice(1);
  const options = { executionProviders: [provider], logSeverityLevel: 4 };
  require(entry).InferenceSession.create(Buffer.from(model, 'base64'), options)
    .then(() => 'ok', (error) => error.message)
    .then((answer) => process.stdout.write(answer));
`;

const answers = new Map<string, Promise<string | undefined>>();

/**
 * Why an execution provider of onnxruntime-node cannot be used, or undefined if it can.
 *
 * A session is made in a child process, once for each provider: drivers may crash their process, and print to its stderr.
 */
export function probeProvider(entry: string, provider: 'cuda' | 'webgpu'): Promise<string | undefined> {
  const answer = answers.get(provider) ?? ask(entry, provider);
  answers.set(provider, answer);
  return answer;
}

function ask(entry: string, provider: string): Promise<string | undefined> {
  // under Electron the executable is Node only when told so
  const env = { ...process.env, ELECTRON_RUN_AS_NODE: '1' };
  const options = { env, timeout: 60_000, encoding: 'utf8' as const };
  return new Promise((resolve) => {
    execFile(process.execPath, ['-e', script, entry, provider, identityModel], options, (error, stdout) => {
      if (stdout === 'ok') resolve(undefined);
      else if (stdout) resolve(reasonIn(stdout));
      else resolve(`a trial session ended with ${error?.signal ?? `exit code ${error?.code}`}`);
    });
  });
}

// onnxruntime's messages start with a C++ source position and a failed condition
function reasonIn(message: string): string {
  const line = message.trim().split('\n').at(-1)!;
  return line
    .slice(line.lastIndexOf('was false. ') + 1)
    .replace(/^as false\. /, '')
    .slice(0, 300);
}
