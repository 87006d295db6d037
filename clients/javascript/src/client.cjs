// The client: `trigger` and `track` buffer and return, `triggerNow` and `trackNow` wait for the answer.
'use strict';

const { randomUUID } = require('node:crypto');
const { readConfiguration } = require('./configuration.cjs');
const { EXECUTIONS, Entry, TRIGGERS } = require('./entries.cjs');
const { deliverNow } = require('./immediate.cjs');
const processExit = require('./process-exit.cjs');
const { Sender } = require('./sender.cjs');
const { Transport } = require('./transport.cjs');

/** Sends triggers and tracked executions to one Beckon. Create one for the process and share it. */
class Client {
  #configuration;
  #transport;
  #triggers;
  #executions;
  /** @type {Promise<boolean> | null} */
  #closing = null;

  /** @param {import('../types/index').ClientOptions} [options] Throws `InvalidConfigurationError`. */
  constructor(options = {}) {
    this.#configuration = readConfiguration(options);
    this.#transport = new Transport(this.#configuration);
    this.#triggers = new Sender(TRIGGERS, this.#configuration, this.#transport);
    this.#executions = new Sender(EXECUTIONS, this.#configuration, this.#transport);
    processExit.register(this, this.#configuration.flushOnSignals);
  }

  /** @param {import('../types/schema').Trigger} trigger */
  trigger(trigger) {
    const { entry, id } = buildEntry(trigger, 'idempotencyKey');
    this.#triggers.add(entry);
    return id;
  }

  /**
   * @param {import('../types/schema').Trigger} trigger
   * @param {import('../types/index').CallOptions} [options]
   * @returns {Promise<import('../types/schema').AcceptedTrigger>}
   */
  async triggerNow(trigger, options = {}) {
    return this.#deliver(TRIGGERS, buildEntry(trigger, 'idempotencyKey').entry, options);
  }

  /** @param {import('../types/schema').ReportedExecution} execution */
  track(execution) {
    const { entry, id } = buildEntry(execution, 'executionId');
    this.#executions.add(entry);
    return id;
  }

  /**
   * @param {import('../types/schema').ReportedExecution} execution
   * @param {import('../types/index').CallOptions} [options]
   * @returns {Promise<import('../types/schema').TrackedExecution>}
   */
  async trackNow(execution, options = {}) {
    return this.#deliver(EXECUTIONS, buildEntry(execution, 'executionId').entry, options);
  }

  /**
   * @param {import('./entries.cjs').Kind} kind
   * @param {Entry} entry
   * @param {import('../types/index').CallOptions} options
   */
  #deliver(kind, entry, { timeoutMs = this.#configuration.nowMs, signal }) {
    return deliverNow(this.#transport, this.#configuration, kind, entry, timeoutMs, signal);
  }

  get statistics() {
    const [triggers, executions] = [this.#triggers.statistics, this.#executions.statistics];
    return {
      buffered: triggers.buffered + executions.buffered,
      accepted: triggers.accepted + executions.accepted,
      duplicates: triggers.duplicates + executions.duplicates,
      failed: triggers.failed + executions.failed,
      retries: triggers.retries + executions.retries,
    };
  }

  async flush(timeoutMs = this.#configuration.nowMs) {
    return all([this.#triggers.flush(timeoutMs), this.#executions.flush(timeoutMs)]);
  }

  async close(timeoutMs = this.#configuration.exitMs) {
    processExit.unregister(this);
    this.#closing ??= all([this.#triggers.close(timeoutMs), this.#executions.close(timeoutMs)]);
    return this.#closing;
  }
}

/** @param {Promise<boolean>[]} results */
async function all(results) {
  return (await Promise.all(results)).every(Boolean);
}

/**
 * The entry of a body, with the id that makes it repeatable in the field `idField`: the body's own, or a new one.
 * @param {object} body
 * @param {string} idField
 */
function buildEntry(body, idField) {
  const id = /** @type {Record<string, string | null | undefined>} */ (body)[idField] ?? randomUUID();
  return { entry: new Entry({ ...body, [idField]: id }), id };
}

module.exports = { Client };
