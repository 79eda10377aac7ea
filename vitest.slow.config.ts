import config from './vitest.config.ts';

// what takes minutes and is not part of `npm test`
export default { ...config, test: { ...config.test, include: ['test/**/*.slow.ts'], testTimeout: 1_800_000 } };
