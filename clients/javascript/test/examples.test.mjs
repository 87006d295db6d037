// The examples of the README run as they are printed.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import test from 'node:test';
import { setUp, startProducer } from './service.mjs';

const README = new URL('../README.md', import.meta.url);
const CREATE = "import { Client } from 'beckon-client';\nconst client = new Client();\n";

test('the examples of the README run', async (t) => {
  const { service, automationId } = await setUp(t);
  const examples = [...(await fs.readFile(README, 'utf8')).matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);
  assert.equal(examples.length, 3);
  for (const example of examples) {
    const program = (example.includes('new Client') ? '' : CREATE) + example;
    const { ended } = startProducer(`globalThis.automationId = '${automationId}';\n${program}`, { BECKON_URL: service.url });
    const { code, text } = await ended;
    assert.equal(code, 0, text);
    assert.doesNotMatch(text, /not delivered|Error/);
  }
  assert.deepEqual(service.paths, ['/api/triggers/batch', '/api/triggers', '/api/track-executions']);
});
