import { compileEngine } from '#runtime';
import { wrongKind } from '../core/errors.ts';
import { Arena } from './arena.ts';

/** Memory that a finished run leaves to the next one, at most; a larger arena is given back to the system. */
const keptBytes = 256 * 2 ** 20;
const keptArenas = 4;

/** The diffusion mathematics: a compiled WebAssembly module and instances of it to work in. Made by `createEngine`. */
export class Engine {
  /** The compiled engine.wasm; pass it to `createEngine` elsewhere to skip compiling. */
  readonly module: WebAssembly.Module;
  readonly #scratch: Arena;
  readonly #idle: Arena[] = [];

  /** @internal */
  constructor(module: WebAssembly.Module, instance: WebAssembly.Instance) {
    this.module = module;
    this.#scratch = new Arena(instance);
  }

  /** Runs synchronous work in the scratch arena; all that it allocates is free again when it returns. @internal */
  scratch<T>(work: (arena: Arena) => T): T {
    const mark = this.#scratch.wasm.mark();
    try {
      return work(this.#scratch);
    } finally {
      this.#scratch.wasm.reset(mark);
    }
  }

  /** An arena of one's own for work that awaits, so that runs side by side never share memory. @internal */
  async lease(): Promise<Arena> {
    return this.#idle.pop() ?? new Arena(await WebAssembly.instantiate(this.module, {}));
  }

  /** Takes back an arena for the next run. @internal */
  release(arena: Arena): void {
    arena.clear();
    if (arena.wasm.memory.buffer.byteLength <= keptBytes && this.#idle.length < keptArenas) this.#idle.push(arena);
  }
}

/**
 * Compiles the engine, or takes one compiled already.
 *
 * `options.module` is for platforms that refuse to compile WebAssembly from bytes, such as Cloudflare Workers: import
 * `ddpm-wasm/engine.wasm` there and pass the module.
 *
 * @throws TypeError if `module` is not a WebAssembly.Module.
 */
export async function createEngine(options: { module?: WebAssembly.Module } = {}): Promise<Engine> {
  return instantiateEngine(options.module ?? (await compileEngine()));
}

/**
 * An engine of engine.wasm or of step.wasm, compiled. That of `ddpm-wasm/step.wasm` runs plans that were made elsewhere
 * (`planFromRows`); it makes none, and of random numbers it has those of `philox`.
 *
 * @throws TypeError if `module` is not a WebAssembly.Module.
 */
export async function instantiateEngine(module: WebAssembly.Module): Promise<Engine> {
  if (!(module instanceof WebAssembly.Module)) throw wrongKind('module', 'a WebAssembly.Module', module);
  return new Engine(module, await WebAssembly.instantiate(module, {}));
}
