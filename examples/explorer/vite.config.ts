import { defineConfig } from 'vite';

// only pages that are isolated like this may have threads, which share memory
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export default defineConfig({
  // the built folder works at any path of any static host
  base: './',
  // the bundled models, served and copied as they are
  publicDir: '../../models',
  // the pipeline's worker is a module
  worker: { format: 'es' },
  // both find files beside their own
  optimizeDeps: { exclude: ['ddpm-wasm', 'onnxruntime-web'] },
  build: { target: 'es2022', chunkSizeWarningLimit: 1000 },
  server: { host: '127.0.0.1', headers },
  preview: { host: '127.0.0.1', headers },
});
