// Buffered triggers: nothing is lost within the buffer, nothing doubled, and the caller does not wait.
import assert from 'node:assert/strict';
import test from 'node:test';
import { BufferFullError, ClientClosedError, InvalidBodyError, RejectedError, UnavailableError } from '../src/index.mjs';
import { eventually, loseAnswer, respond, setUp } from './service.mjs';

/** A contact of its own for each trigger, so that no execution waits for another. */
const person = (number) => ({ externalId: `js-${number}-${Math.random()}` });

test('a buffered trigger starts its automation', async (t) => {
  const { type, connect, countExecutions } = await setUp(t);
  const client = connect();
  client.trigger({ type, contact: person(1), payload: { plan: 'pro' } });
  assert(await client.flush());
  assert.equal(await countExecutions(), 1);
  assert.deepEqual([client.statistics.accepted, client.statistics.buffered], [1, 0]);
});

test('2,500 triggers are three batches', async (t) => {
  const { service, type, connect } = await setUp(t);
  const client = connect({ lingerMs: 30_000 });
  for (let number = 0; number < 2500; number += 1) client.trigger({ type: `${type}.none`, payload: { number } });
  assert(await client.flush(30_000));
  assert.equal(client.statistics.accepted, 2500);
  assert.deepEqual(service.paths, Array(3).fill('/api/triggers/batch'));
});

test('a batch stays within five mebibytes', async (t) => {
  const { service, type, connect } = await setUp(t);
  const client = connect({ lingerMs: 30_000 });
  for (let number = 0; number < 7; number += 1) client.trigger({ type: `${type}.none`, payload: { text: 'é'.repeat(500_000) } });
  assert(await client.flush(30_000));
  assert.deepEqual([client.statistics.accepted, service.paths.length], [7, 2]);
});

test('a key of the caller has one effect', async (t) => {
  const { type, connect, countExecutions } = await setUp(t);
  const client = connect();
  const contact = person(1);
  for (let number = 0; number < 3; number += 1) client.trigger({ type, contact, idempotencyKey: `order-${type}` });
  assert(await client.flush());
  assert.equal(await countExecutions(), 1);
  assert.deepEqual([client.statistics.accepted, client.statistics.duplicates], [1, 2]);
});

test('429 and 503 are retried no earlier than Retry-After says', async (t) => {
  const { service, type, connect, countExecutions } = await setUp(t);
  service.faults.push(respond(429, { 'Retry-After': '1' }), respond(503, { 'Retry-After': '0' }));
  const client = connect();
  const started = performance.now();
  client.trigger({ type, contact: person(1) });
  assert(await client.flush());
  assert(performance.now() - started >= 990);
  assert.deepEqual([await countExecutions(), client.statistics.retries], [1, 2]);
});

test("a 200 that is not Beckon's delivers nothing", async (t) => {
  const { service, type, connect, countExecutions } = await setUp(t);
  service.faults.push(respond(200, {}, 'a page of a proxy'));
  const client = connect();
  client.trigger({ type, contact: person(1) });
  assert(await client.flush());
  assert.deepEqual([await countExecutions(), client.statistics.accepted, client.statistics.retries], [1, 1, 1]);
});

test('a lost answer doubles nothing', async (t) => {
  const { service, type, connect, countExecutions } = await setUp(t);
  service.faults.push(loseAnswer);
  const client = connect();
  for (let number = 0; number < 20; number += 1) client.trigger({ type, contact: person(number) });
  assert(await client.flush());
  assert.deepEqual([await countExecutions(), client.statistics.duplicates], [20, 20]);
});

test('a rejected trigger goes to onError with its field paths', async (t) => {
  const { type, connect, countExecutions } = await setUp(t);
  const errors = [];
  const client = connect({ onError: (error) => errors.push(error) });
  client.trigger({ type, contact: person(1) });
  const key = client.trigger({ type, contact: { email: 'nonsense' } });
  client.trigger({ type: 'no spaces allowed' });
  client.trigger({ type, payload: { text: 'a\u0000b' } });
  assert(await client.flush());
  assert.equal(await countExecutions(), 1);
  const paths = errors.map((error) => [error.status, error.errors[0].path]).sort();
  assert.deepEqual(paths, [[422, 'contact.email'], [422, 'payload.text'], [422, 'type']]);
  assert(errors.every((error) => error instanceof RejectedError && !error.message.includes('nonsense')));
  assert(errors.some((error) => error.body.idempotencyKey === key));
});

test('a wrong key is reported for each trigger, and never logged', async (t) => {
  const { type, connect } = await setUp(t);
  const lines = [];
  const logger = { warn: (...line) => lines.push(line.join(' ')), error: (...line) => lines.push(line.join(' ')) };
  const client = connect({ apiKey: 'bk_secret_of_nobody', logger });
  client.trigger({ type, payload: { card: '4111' } });
  assert(await client.flush());
  assert.match(lines.join('\n'), /401/);
  assert.doesNotMatch(lines.join('\n'), /bk_secret_of_nobody|4111/);
});

test('an error in onError stops nothing, thrown or rejected', async (t) => {
  const { type, connect, countExecutions } = await setUp(t);
  const failures = [() => Promise.reject(new Error('rejected')), () => { throw new Error('thrown'); }];
  const client = connect({ onError: () => failures.pop()() });
  client.trigger({ type: 'no spaces allowed' });
  client.trigger({ type: 'nor here' });
  client.trigger({ type, contact: person(1) });
  assert(await client.flush());
  assert.equal(await countExecutions(), 1);
});

test('a full buffer refuses the newest and keeps the others', async (t) => {
  const { service, type, connect, countExecutions } = await setUp(t);
  const open = service.close();
  const client = connect({ maxBuffered: 3 });
  for (let number = 0; number < 3; number += 1) client.trigger({ type, contact: person(number) });
  assert.throws(() => client.trigger({ type }), BufferFullError);
  open();
  assert(await client.flush());
  client.trigger({ type, contact: person(4) });
  assert(await client.flush());
  assert.equal(await countExecutions(), 4);
});

test('the buffer is bounded in bytes too', async (t) => {
  const { service, type, connect } = await setUp(t);
  const open = service.close();
  const client = connect({ maxBufferedBytes: 2_000 });
  client.trigger({ type, payload: { text: 'x'.repeat(3_000) } });
  assert.throws(() => client.trigger({ type }), BufferFullError);
  open();
});

test('nothing is lost while the server is away', async (t) => {
  const { service, type, connect, countExecutions } = await setUp(t);
  const client = connect();
  await service.stop();
  for (let number = 0; number < 50; number += 1) client.trigger({ type, contact: person(number) });
  await eventually(() => client.statistics.retries >= 1);
  assert.equal(await client.flush(1), false);
  await service.start();
  assert(await client.flush());
  assert.deepEqual([await countExecutions(), client.statistics.accepted, client.statistics.failed], [50, 50, 0]);
});

test('what is not delivered by the end goes to onError', async (t) => {
  const { service, type, connect } = await setUp(t);
  const errors = [];
  const client = connect({ onError: (error) => errors.push(error) });
  const open = service.close();
  const idempotencyKey = client.trigger({ type, payload: { plan: 'pro' } });
  assert.equal(await client.close(20), false);
  assert(errors.length === 1 && errors[0] instanceof UnavailableError);
  assert.deepEqual(errors[0].body, { type, payload: { plan: 'pro' }, idempotencyKey });
  assert.throws(() => client.trigger({ type }), ClientClosedError);
  open();
});

test('what is no JSON or too large is refused at once', async (t) => {
  const { type, connect } = await setUp(t);
  const client = connect();
  const circle = {};
  circle.self = circle;
  for (const payload of [{ n: 1n }, circle, { text: 'x'.repeat(1_100_000) }]) {
    assert.throws(() => client.trigger({ type, payload }), InvalidBodyError);
  }
  assert.equal(client.statistics.buffered, 0);
});
