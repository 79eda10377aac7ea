// wrangler gives what is imported from .wasm as a module that is compiled
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
