// Tracked executions are delivered as triggers are: buffered or at once, each counted once.
import assert from 'node:assert/strict';
import test from 'node:test';
import { RejectedError } from '../src/index.mjs';
import { loseAnswer, respond, setUp } from './service.mjs';

const VISIT = {
  status: 'success',
  executionTimeMs: 250,
  pageUrl: 'https://example.com/pricing',
  deviceType: 'desktop',
  actions: [{ name: 'Replace Text', selector: '.title', executionTimeMs: 45 }],
};

test('a tracked execution answers its id', async (t) => {
  const { automationId: workflowId, type, connect } = await setUp(t);
  const execution = { ...VISIT, workflowId, executionId: type };
  const answer = await connect().trackNow(execution);
  assert.deepEqual([answer.executionId, answer.duplicate, answer.tracked], [type, false, true]);
  assert.equal((await connect().trackNow(execution)).duplicate, true);
});

test('600 buffered executions are two batches', async (t) => {
  const { service, automationId: workflowId, connect } = await setUp(t);
  const client = connect({ lingerMs: 30_000 });
  for (let number = 0; number < 600; number += 1) client.track({ ...VISIT, workflowId });
  assert(await client.flush());
  assert.equal(client.statistics.accepted, 600);
  assert.deepEqual(service.paths, Array(2).fill('/api/track-executions'));
});

test('a lost answer counts no execution twice', async (t) => {
  const { service, automationId: workflowId, connect } = await setUp(t);
  service.faults.push(respond(503), loseAnswer);
  const client = connect();
  for (let number = 0; number < 3; number += 1) client.track({ ...VISIT, workflowId });
  assert(await client.flush());
  assert.deepEqual([client.statistics.accepted, client.statistics.duplicates], [0, 3]);
});

test('a rejected execution goes to onError with its field paths', async (t) => {
  const { automationId: workflowId, connect } = await setUp(t);
  const errors = [];
  const client = connect({ onError: (error) => errors.push(error) });
  client.track({ workflowId, actions: [{ name: '' }] });
  client.track({ workflowId: '01a00000-0000-7000-8000-000000000000' });
  client.track({ ...VISIT, workflowId });
  assert(await client.flush());
  assert.equal(client.statistics.accepted, 1);
  assert(errors.every((error) => error instanceof RejectedError));
  const paths = errors.map((error) => [error.status, error.errors[0].path]).sort();
  assert.deepEqual(paths, [[404, 'workflowId'], [422, 'actions[0].name']]);
});
