// The client: `trigger` buffers and returns, `triggerNow` waits for the answer.
'use strict';

const { randomUUID } = require('node:crypto');
const { readConfiguration } = require('./configuration.cjs');
const { Entry, TRIGGERS } = require('./entries.cjs');
const { deliverNow } = require('./immediate.cjs');
const processExit = require('./process-exit.cjs');
const { Sender } = require('./sender.cjs');
const { Transport } = require('./transport.cjs');

/** Sends triggers to one Beckon. Create one for the process and share it. */
class Client {
  #configuration;
  #transport;
  #triggers;
  /** @type {Promise<boolean> | null} */
  #closing = null;

  /** @param {import('../types/index').ClientOptions} [options] Throws `InvalidConfigurationError`. */
  constructor(options = {}) {
    this.#configuration = readConfiguration(options);
    this.#transport = new Transport(this.#configuration);
    this.#triggers = new Sender(TRIGGERS, this.#configuration, this.#transport);
    processExit.register(this, this.#configuration.flushOnSignals);
  }

  /** @param {import('../types/schema').Trigger} trigger */
  trigger(trigger) {
    const { entry, key } = buildTrigger(trigger);
    this.#triggers.add(entry);
    return key;
  }

  /**
   * @param {import('../types/schema').Trigger} trigger
   * @param {import('../types/index').CallOptions} [options]
   */
  async triggerNow(trigger, { timeoutMs = this.#configuration.nowMs, signal } = {}) {
    const { entry } = buildTrigger(trigger);
    return deliverNow(this.#transport, this.#configuration, TRIGGERS, entry, timeoutMs, signal);
  }

  get statistics() {
    return this.#triggers.statistics;
  }

  async flush(timeoutMs = this.#configuration.nowMs) {
    return this.#triggers.flush(timeoutMs);
  }

  async close(timeoutMs = this.#configuration.exitMs) {
    processExit.unregister(this);
    this.#closing ??= this.#triggers.close(timeoutMs);
    return this.#closing;
  }
}

/** @param {import('../types/schema').Trigger} trigger */
function buildTrigger(trigger) {
  const key = trigger.idempotencyKey ?? randomUUID();
  return { entry: new Entry({ ...trigger, idempotencyKey: key }), key };
}

module.exports = { Client };
