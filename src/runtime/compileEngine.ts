let compiled: Promise<WebAssembly.Module> | undefined;

/** The engine, compiled once from the bytes embedded in this package. */
export function compileEngine(): Promise<WebAssembly.Module> {
  compiled ??= compile();
  return compiled;
}

async function compile(): Promise<WebAssembly.Module> {
  const { engineBase64 } = await import('./engineBytes.ts');
  return WebAssembly.compile(Uint8Array.from(atob(engineBase64), (character) => character.charCodeAt(0)));
}
