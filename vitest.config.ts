import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { alias: { '#runtime': new URL('src/runtime/node.ts', import.meta.url).pathname } },
  test: {
    include: ['test/**/*.test.ts'],
    // half the cores would be one of two
    maxWorkers: '100%',
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ['default', './test/support/closingLine.ts'],
  },
});
