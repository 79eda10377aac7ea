import { toJsonSchema } from '@valibot/to-json-schema';
import { expect, test } from 'vitest';
import { trainingSchema } from '../../src/train/configSchema.ts';

// after a change: npx vitest run test/train/schema.test.ts --update
test('the published JSON schema of a training config is what the validator gives', async () => {
  const schema = toJsonSchema(trainingSchema, {
    typeMode: 'input',
    target: 'draft-07',
    ignoreActions: ['finite'], // as JSON's numbers all are
  });
  const titled = { ...schema, title: 'A training config of ddpm-wasm' };
  await expect(`${JSON.stringify(titled, null, 2)}\n`).toMatchFileSnapshot('../../src/train/training.schema.json');
});
