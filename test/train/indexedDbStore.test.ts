import { describe, expect, it } from 'vitest';
import { indexedDbStore } from '../../src/train/indexedDbStore.ts';

// what it keeps is tested where there is an IndexedDB: test/browser/train.test.ts
describe('a store in IndexedDB', () => {
  it('is refused where there is none, with what to take instead', () => {
    const message = 'indexedDbStore needs a browser: in Node.js give a folder';
    expect(() => indexedDbStore('run')).toThrow(expect.objectContaining({ code: 'device-unavailable', message }));
  });

  it('needs a name', () => {
    expect(() => indexedDbStore('')).toThrow('"name" expected the name of a database, got ""');
    expect(() => indexedDbStore(undefined as never)).toThrow(TypeError);
  });
});
