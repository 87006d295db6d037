// Delivers the buffer of one kind of entry: in order, in batches, again after temporary failures.
//
// A request of which no answer came may have been accepted. It is sent again as it was: each entry has a key, so that the
// repeat is a duplicate and has no effect. Timers do not keep the process alive; `flush` does, while somebody waits for it.
'use strict';

const { MAX_BATCH_BYTES, formatBatch } = require('./entries.cjs');
const { BufferFullError, ClientClosedError, UnavailableError } = require('./errors.cjs');
const { buildOutcome, judge } = require('./outcomes.cjs');
const { computeDelay } = require('./retries.cjs');

/** @typedef {import('./entries.cjs').Entry} Entry */

/** Buffers and delivers one kind of entry. */
class Sender {
  #kind;
  #configuration;
  #transport;
  /** @type {Entry[]} */
  #waiting = [];
  /** Entries of the current batch that are not settled. Removing one is the right to settle it. @type {Set<Entry>} */
  #inFlight = new Set();
  #bytes = 0;
  #added = 0;
  #settled = 0;
  #isRunning = false;
  #isClosed = false;
  #isAbandoned = false;
  /** Those who wait for a number of settled entries. @type {Set<{target: number, resolve: () => void}>} */
  #flushes = new Set();
  /** The current wait, and whether only giving up may end it early. @type {{end: () => void, isFixed: boolean} | null} */
  #pause = null;
  #counts = { accepted: 0, duplicates: 0, failed: 0, retries: 0 };

  /**
   * @param {import('./entries.cjs').Kind} kind
   * @param {import('./configuration.cjs').Configuration} configuration
   * @param {import('./transport.cjs').Transport} transport
   */
  constructor(kind, configuration, transport) {
    this.#kind = kind;
    this.#configuration = configuration;
    this.#transport = transport;
  }

  /** The counts now; `buffered` includes what is being sent. */
  get statistics() {
    return { buffered: this.#added - this.#settled, ...this.#counts };
  }

  /**
   * Buffer an entry. Throws `BufferFullError` and `ClientClosedError`.
   * @param {Entry} entry
   */
  add(entry) {
    if (this.#isClosed) throw new ClientClosedError('The client is closed.');
    const buffered = this.#added - this.#settled;
    const { maxBuffered, maxBufferedBytes } = this.#configuration;
    // An entry larger than the whole buffer still fits into an empty one.
    if (buffered >= maxBuffered || (buffered > 0 && this.#bytes + entry.bytes > maxBufferedBytes)) {
      throw new BufferFullError(`The buffer has ${buffered} entries that are not delivered yet, and no room for this one.`);
    }
    this.#waiting.push(entry);
    this.#bytes += entry.bytes;
    this.#added += 1;
    if (this.#waiting.length >= this.#kind.maxEntries) this.#hurry();
    if (!this.#isRunning) void this.#run();
  }

  /**
   * Wait until everything buffered before this call is delivered or given up; false if it takes longer.
   * @param {number} milliseconds
   * @returns {Promise<boolean>}
   */
  flush(milliseconds) {
    const target = this.#added;
    if (this.#settled >= target) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiter = { target, resolve: () => finish(true) };
      const timer = setTimeout(() => finish(false), milliseconds);
      const finish = (/** @type {boolean} */ isFlushed) => {
        clearTimeout(timer);
        this.#flushes.delete(waiter);
        resolve(isFlushed);
      };
      this.#flushes.add(waiter);
      this.#hurry();
    });
  }

  /**
   * Flush, then take no more. What is left after `milliseconds` goes to `onError`; false if there was any.
   * @param {number} milliseconds
   */
  async close(milliseconds) {
    this.#isClosed = true;
    const isFlushed = await this.flush(milliseconds);
    this.#isAbandoned = true;
    this.#pause?.end();
    if (!isFlushed) this.#giveUp();
    return isFlushed;
  }

  #giveUp() {
    for (const entry of this.#waiting.splice(0)) this.#inFlight.add(entry);
    this.#failAsUnavailable([...this.#inFlight], 'Not delivered before the client was closed');
  }

  /** Deliver until nothing waits. Never rejects. */
  async #run() {
    this.#isRunning = true;
    while (this.#waiting.length > 0 && !this.#isAbandoned) {
      await this.#linger();
      const batch = this.#take();
      this.#inFlight = new Set(batch);
      try {
        await this.#deliver(batch);
      } catch (error) {
        // A defect must not stop the entries after these.
        this.#configuration.logger.error('beckon-client: a batch failed', error);
        this.#failAsUnavailable(batch, 'The client failed');
      }
    }
    this.#isRunning = false;
  }

  /** Wait for more entries, unless there are enough or somebody waits for these. */
  async #linger() {
    if (this.#waiting.length >= this.#kind.maxEntries || this.#flushes.size > 0) return;
    await this.#sleep(this.#configuration.lingerMs, false);
  }

  #take() {
    let count = 0;
    let bytes = 0;
    while (count < Math.min(this.#waiting.length, this.#kind.maxEntries)) {
      if (bytes + this.#waiting[count].bytes >= MAX_BATCH_BYTES) break;
      bytes += this.#waiting[count].bytes + 1;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  /** @param {Entry[]} batch */
  async #deliver(batch) {
    const groups = [batch];
    let attempt = 0;
    while (groups.length > 0 && !this.#isAbandoned) {
      const group = this.#dropExpired(/** @type {Entry[]} */ (groups.shift()));
      if (group.length === 0) continue;
      attempt += 1;
      const outcome = await this.#send(group, attempt);
      this.#apply(outcome);
      groups.unshift(...outcome.again);
      if (!outcome.isDelayed) {
        attempt = 0;
        continue;
      }
      this.#counts.retries += 1;
      await this.#sleep(computeDelay(attempt, outcome.retryAfterMs), outcome.retryAfterMs !== null);
    }
  }

  /** @param {Entry[]} group @param {number} attempt */
  async #send(group, attempt) {
    for (const entry of group) entry.firstSentAt ??= performance.now();
    const { logger, requestMs } = this.#configuration;
    const about = `attempt ${attempt}, ${group.length} entries`;
    try {
      const answer = await this.#transport.post(this.#kind.batchPath, formatBatch(this.#kind, group), requestMs);
      const outcome = judge(this.#kind, group, answer, attempt);
      if (!outcome.isStored) logger.warn(`beckon-client: execution tracking is switched off in Beckon; ${about}`);
      if (outcome.isDelayed) logger.warn(`beckon-client: Beckon answered ${answer.status}; ${about}`);
      return outcome;
    } catch (error) {
      logger.warn(`beckon-client: Beckon did not answer (${/** @type {Error} */ (error).message}); ${about}`);
      return buildOutcome({ again: [group], isDelayed: true });
    }
  }

  /** @param {import('./outcomes.cjs').Outcome} outcome */
  #apply(outcome) {
    this.#counts.accepted += outcome.accepted;
    this.#counts.duplicates += outcome.duplicates;
    for (const entry of outcome.delivered) this.#settle(entry);
    this.#fail(outcome.failures);
  }

  /** Give up entries whose key the server may have forgotten: a repeat could have a second effect. @param {Entry[]} group */
  #dropExpired(group) {
    const oldest = performance.now() - this.#kind.repeatableMs;
    const isExpired = (/** @type {Entry} */ entry) => entry.firstSentAt !== null && entry.firstSentAt < oldest;
    this.#failAsUnavailable(group.filter(isExpired), 'Not delivered while its key was valid');
    return group.filter((entry) => !isExpired(entry));
  }

  /** @param {Entry} entry */
  #settle(entry) {
    if (!this.#inFlight.delete(entry)) return false;
    this.#bytes -= entry.bytes;
    this.#settled += 1;
    for (const waiter of [...this.#flushes]) if (this.#settled >= waiter.target) waiter.resolve();
    return true;
  }

  /** @param {Entry[]} entries @param {string} detail */
  #failAsUnavailable(entries, detail) {
    this.#fail(entries.map((entry) => [entry, new UnavailableError(detail, { body: entry.body })]));
  }

  /** Report entries and forget them, except those that are settled. @param {import('./outcomes.cjs').Outcome['failures']} failures */
  #fail(failures) {
    const unsettled = failures.filter(([entry]) => this.#inFlight.has(entry));
    this.#counts.failed += unsettled.length;
    report(this.#configuration, this.#kind, unsettled.map(([, error]) => error));
    for (const [entry] of unsettled) this.#settle(entry);
  }

  /** A flush cuts a backoff short, but not the wait that the server asked for. */
  #hurry() {
    if (this.#pause !== null && !this.#pause.isFixed) this.#pause.end();
  }

  /** @param {number} milliseconds @param {boolean} isFixed @returns {Promise<void>} */
  #sleep(milliseconds, isFixed) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#pause = null;
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      timer.unref();
      this.#pause = { end, isFixed };
    });
  }
}

/**
 * Give each error to `onError`; without it, log each different one once with its count. Never throws, and leaves no rejected
 * promise.
 * @param {import('./configuration.cjs').Configuration} configuration
 * @param {import('./entries.cjs').Kind} kind
 * @param {import('./errors.cjs').DeliveryError[]} errors
 */
function report({ logger, onError }, kind, errors) {
  if (onError === null) {
    for (const message of new Set(errors.map((error) => error.message))) {
      const count = errors.filter((error) => error.message === message).length;
      logger.error(`beckon-client: ${count} ${kind.name}${count === 1 ? '' : 's'} not delivered: ${message}`);
    }
    return;
  }
  const complain = (/** @type {unknown} */ failure) => logger.error('beckon-client: onError failed', failure);
  for (const error of errors) {
    try {
      Promise.resolve(onError(error)).catch(complain);
    } catch (failure) {
      complain(failure);
    }
  }
}

module.exports = { Sender };
