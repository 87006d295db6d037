// What is sent: the kinds of entries, and one entry as JSON with the key that makes it have one effect.
'use strict';

const { InvalidBodyError } = require('./errors.cjs');
const { MAX_EXECUTIONS, MAX_TRIGGERS } = require('./limits.cjs');

/** The API's limits: a single body, and a batch less what its frame takes. */
const MAX_ENTRY_BYTES = 1024 * 1024;
const MAX_BATCH_BYTES = 5 * 1024 * 1024 - 1024;

/**
 * A kind of entry: where a single one and a batch go, how many a batch may have, and for how long a repeat is recognised,
 * less an hour.
 * @typedef {{name: string, path: string, batchPath: string, listName: string, maxEntries: number, repeatableMs: number}} Kind
 */

/** @type {Readonly<Kind>} */
const TRIGGERS = Object.freeze({
  name: 'trigger',
  path: '/api/triggers',
  batchPath: '/api/triggers/batch',
  listName: 'triggers',
  maxEntries: MAX_TRIGGERS,
  repeatableMs: 23 * 3_600_000,
});

/** @type {Readonly<Kind>} */
const EXECUTIONS = Object.freeze({
  name: 'tracked execution',
  path: '/api/track-execution',
  batchPath: '/api/track-executions',
  listName: 'executions',
  maxEntries: MAX_EXECUTIONS,
  repeatableMs: 90 * 86_400_000 - 3_600_000,
});

/** One trigger or execution, as it is sent each time. */
class Entry {
  /** When it was first sent, on the monotonic clock: its key is forgotten some time after. @type {number | null} */
  firstSentAt = null;

  /** @param {object} fields Throws `InvalidBodyError`. */
  constructor(fields) {
    this.content = stringify(fields);
    this.bytes = Buffer.byteLength(this.content);
    if (this.bytes > MAX_ENTRY_BYTES) {
      throw new InvalidBodyError(`This has ${this.bytes} bytes as JSON. The limit is ${MAX_ENTRY_BYTES}.`);
    }
  }

  /** The JSON object. @returns {Record<string, unknown>} */
  get body() {
    return JSON.parse(this.content);
  }
}

/** @param {object} fields */
function stringify(fields) {
  try {
    return JSON.stringify(fields);
  } catch (error) {
    throw new InvalidBodyError(`This cannot be written as JSON: ${/** @type {Error} */ (error).message}`);
  }
}

/**
 * The body of a batch.
 * @param {Kind} kind
 * @param {Entry[]} entries
 */
function formatBatch(kind, entries) {
  return `{"${kind.listName}":[${entries.map((entry) => entry.content).join(',')}]}`;
}

module.exports = { EXECUTIONS, Entry, MAX_BATCH_BYTES, TRIGGERS, formatBatch };
