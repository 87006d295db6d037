// A real Beckon (BECKON_URL, BECKON_API_KEY) behind a proxy with faults on demand.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { Client } from '../src/index.mjs';

export const { BECKON_URL, BECKON_API_KEY } = process.env;
assert(BECKON_URL && BECKON_API_KEY, 'Set BECKON_URL and BECKON_API_KEY to a running Beckon and a key with all scopes');

/** A fault that answers in Beckon's place, without asking it. */
export const respond = (status, headers = {}, body = { detail: 'A fault of the tests.' }) => (request, response) => {
  response.writeHead(status, { 'Content-Type': 'application/problem+json', ...headers });
  response.end(JSON.stringify(body));
};

/** Beckon accepts the request, and the connection breaks before its answer arrives. */
export const loseAnswer = async (request, response, forward) => {
  await forward();
  response.socket.destroy();
};

/** The proxy. `faults` are used up by the next requests, in order; requests wait for `gate`. */
export class Service {
  faults = [];
  paths = [];
  gate = Promise.resolve();
  #port = 0;

  async start() {
    this.server = http.createServer((request, response) => void this.#respond(request, response));
    await new Promise((resolve) => this.server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.#port}`;
    return this;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Let requests wait until the returned function is called. */
  close() {
    let open;
    this.gate = new Promise((resolve) => (open = resolve));
    return open;
  }

  async #respond(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    await this.gate;
    this.paths.push(request.url);
    const forward = () =>
      fetch(BECKON_URL + request.url, {
        method: request.method,
        headers: { Authorization: request.headers.authorization, 'Content-Type': request.headers['content-type'] },
        body: Buffer.concat(chunks),
      });
    const fault = this.faults.shift();
    if (fault) return void (await fault(request, response, forward));
    const answer = await forward();
    // `fetch` has decompressed the body already.
    const headers = [...answer.headers].filter(([name]) => !/^(content-(encoding|length)|transfer-encoding|connection)$/.test(name));
    response.writeHead(answer.status, Object.fromEntries(headers));
    response.end(Buffer.from(await answer.arrayBuffer()));
  }
}

/** What a test has: a proxy, a trigger type that starts an automation of its own, and clients that are closed after it. */
export async function setUp(test) {
  const service = await new Service().start();
  const type = `visit.${Math.random().toString(36).slice(2)}`;
  const automationId = await createAutomation(type);
  const clients = [];
  const connect = (options = {}) => {
    const logger = { warn: () => {}, error: () => {} };
    const client = new Client({ url: service.url, apiKey: BECKON_API_KEY, lingerMs: 5, logger, ...options });
    clients.push(client);
    return client;
  };
  test.after(async () => {
    await Promise.all(clients.map((client) => client.close(0)));
    await service.stop();
  });
  return { service, type, automationId, connect, countExecutions: () => countExecutions(automationId) };
}

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${BECKON_API_KEY}`, 'Content-Type': 'application/json' };
  const response = await fetch(BECKON_URL + path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  assert(response.ok, JSON.stringify(answer));
  return answer;
}

async function createAutomation(type) {
  const steps = [{ id: 'note', action: 'update_contact', with: { add_tags: ['seen'] } }];
  const body = { name: type, definition: { trigger: { type }, steps } };
  const { automation } = await call('POST', `/api/workspaces/${process.env.BECKON_WORKSPACE_ID}/automations`, body);
  return automation.id;
}

async function countExecutions(automationId) {
  return (await call('GET', `/api/executions?automationId=${automationId}&limit=200`)).executions.length;
}

/** Run a program with the client and these variables; `output` collects what it prints. */
export function startProducer(program, environ) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, BECKON_API_KEY, ...environ },
  });
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output.text += chunk));
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, text: output.text })));
  return { child, output, ended };
}

/** Wait for a condition. */
export async function eventually(condition) {
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`not true: ${condition}`);
}
