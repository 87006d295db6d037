// `triggerNow` answers the executions, or says why there are none; the configuration is checked.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { Client, InvalidConfigurationError, RejectedError, UnavailableError } from '../src/index.mjs';
import { eventually, loseAnswer, respond, setUp } from './service.mjs';

test('the answer has the executions', async (t) => {
  const { type, automationId, connect } = await setUp(t);
  const trigger = { type, contact: { externalId: `js-${type}` }, idempotencyKey: type };
  const answer = await connect().triggerNow(trigger);
  assert.deepEqual(answer.executions.map((execution) => execution.automationId), [automationId]);
  assert.deepEqual(await connect().triggerNow(trigger), { ...answer, duplicate: true });
});

test('an invalid trigger rejects with its field paths', async (t) => {
  const { type, connect } = await setUp(t);
  const call = connect().triggerNow({ type, contact: { email: 'nonsense', timezone: 'Mars/Olympus' } });
  await assert.rejects(call, (error) => {
    assert(error instanceof RejectedError && error.status === 422);
    assert.deepEqual(error.errors.map((problem) => problem.path).sort(), ['contact.email', 'contact.timezone']);
    return true;
  });
});

test('a temporary failure is retried with the same key', async (t) => {
  const { service, type, connect } = await setUp(t);
  service.faults.push(respond(503), loseAnswer, respond(409, { 'Retry-After': '0' }));
  const answer = await connect().triggerNow({ type });
  assert.deepEqual([answer.duplicate, service.paths.length], [true, 4]);
});

test('a call ends when Retry-After is later than its time', async (t) => {
  const { service, type, connect } = await setUp(t);
  service.faults.push(respond(429, { 'Retry-After': '3600' }));
  await assert.rejects(connect().triggerNow({ type }), (error) => {
    assert(error instanceof UnavailableError);
    assert.deepEqual([error.status, error.retryAfterMs, service.paths.length], [429, 3_600_000, 1]);
    return true;
  });
});

test('a server that never answers ends the call', async (t) => {
  const { service, type, connect } = await setUp(t);
  const open = service.close();
  await assert.rejects(connect().triggerNow({ type }, { timeoutMs: 50 }), UnavailableError);
  open();
});

test('an aborted call ends at once and its retries too', async (t) => {
  const { service, type, connect } = await setUp(t);
  service.faults.push(respond(503, { 'Retry-After': '3000' }));
  const controller = new AbortController();
  const call = connect().triggerNow({ type }, { timeoutMs: 3_600_000, signal: controller.signal });
  const ended = assert.rejects(call, { name: 'AbortError' });
  await eventually(() => service.paths.length === 1);
  controller.abort();
  await ended;
  assert.equal(service.paths.length, 1);
});

test('a redirect is not followed with the key', async (t) => {
  const { service, type, connect } = await setUp(t);
  service.faults.push(respond(308, { Location: 'https://elsewhere.example/' }));
  await assert.rejects(connect().triggerNow({ type }), /Set BECKON_URL/);
  assert.equal(service.paths.length, 1);
});

const WRONG_URLS = [
  'beckon.example.com', 'ftp://beckon.example.com', 'https://', 'https://ada:secret@beckon.example.com',
  'https://beckon.example.com/?key=1', 'https://beckon.example.com/#a', 'https://beckon.example.com\n',
  'https://beckon.example.com:99999',
];

test('a wrong URL, key or option is refused when the client is created', () => {
  for (const url of WRONG_URLS) assert.throws(() => new Client({ url, apiKey: 'bk_1' }), InvalidConfigurationError, url);
  for (const apiKey of ['', 'bk secret', 'bk_secret\r\nX-Other: 1', 'clé']) {
    assert.throws(
      () => new Client({ url: 'https://beckon.example.com', apiKey }),
      (error) => error instanceof InvalidConfigurationError && !error.message.includes('secret'),
    );
  }
  for (const option of [{ maxBuffered: 0 }, { lingerMs: -1 }, { nowMs: NaN }, { exitMs: '5' }]) {
    assert.throws(() => new Client({ url: 'https://beckon.example.com', apiKey: 'bk_1', ...option }), /must be a number/);
  }
});

test('require and import load the same classes', () => {
  const required = createRequire(import.meta.url)('../src/index.cjs');
  assert.equal(required.Client, Client);
});
