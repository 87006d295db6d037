// The end of a process: what is buffered is delivered once.
import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, respond, setUp, startProducer } from './service.mjs';

const bufferTen = (type, options = 'lingerMs: 3_600_000') => `
  import { Client } from './src/index.mjs';
  const client = new Client({ ${options} });
  for (let number = 0; number < 10; number += 1) {
    client.trigger({ type: '${type}', contact: { externalId: '${type}' + number } });
  }
`;
const WAIT = "setInterval(() => {}, 1000); console.log('ready');";

test('a process that ends delivers its buffer', async (t) => {
  const { service, type, countExecutions } = await setUp(t);
  const { ended } = startProducer(bufferTen(type), { BECKON_URL: service.url });
  assert.deepEqual(await ended, { code: 0, signal: null, text: '' });
  assert.equal(await countExecutions(), 10);
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} ends the process after the delivery`, async (t) => {
    const { service, type, countExecutions } = await setUp(t);
    const { child, output, ended } = startProducer(bufferTen(type) + WAIT, { BECKON_URL: service.url });
    await eventually(() => output.text.includes('ready'));
    child.kill(signal);
    assert.equal((await ended).signal, signal);
    assert.equal(await countExecutions(), 10);
  });
}

test('a listener of the application decides the end', async (t) => {
  const { service, type, countExecutions } = await setUp(t);
  const own = "process.on('SIGTERM', async () => { await client.close(); process.exit(7); });";
  const { child, output, ended } = startProducer(bufferTen(type) + own + WAIT, { BECKON_URL: service.url });
  await eventually(() => output.text.includes('ready'));
  child.kill('SIGTERM');
  assert.equal((await ended).code, 7);
  assert.equal(await countExecutions(), 10);
});

test('the end of a process has a deadline', async (t) => {
  const { service, type } = await setUp(t);
  service.faults.push(...Array(100).fill(respond(503, { 'Retry-After': '3600' })));
  const options = 'exitMs: 50, lingerMs: 0, logger: { warn() {}, error() {} }, onError: (error) => console.log(error.name)';
  const { ended } = startProducer(bufferTen(type, options), { BECKON_URL: service.url });
  const { code, text } = await ended;
  assert.deepEqual([code, text], [0, 'UnavailableError\n'.repeat(10)]);
});

test('a second signal ends the process at once', async (t) => {
  const { service, type } = await setUp(t);
  const open = service.close();
  const { child, output, ended } = startProducer(bufferTen(type, 'exitMs: 3_600_000') + WAIT, { BECKON_URL: service.url });
  await eventually(() => output.text.includes('ready'));
  child.kill('SIGTERM');
  await eventually(() => child.kill('SIGTERM') === false || child.signalCode !== null);
  assert.equal((await ended).signal, 'SIGTERM');
  open();
});

test('a server that is away leaves no unhandled rejection', async (t) => {
  const { type } = await setUp(t);
  const options = 'exitMs: 50, lingerMs: 0, logger: { warn() {}, error() {} }';
  const { ended } = startProducer(bufferTen(type, options), { BECKON_URL: 'http://127.0.0.1:9' });
  assert.deepEqual(await ended, { code: 0, signal: null, text: '' });
});

test('a client without triggers does not keep the process', async (t) => {
  const { service } = await setUp(t);
  const program = "import { Client } from './src/index.mjs'; new Client();";
  assert.equal((await startProducer(program, { BECKON_URL: service.url }).ended).code, 0);
});
