// Everything that the client throws, or gives to `onError`.
'use strict';

/** Base class of the client's errors. */
class BeckonError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = this.constructor.name;
  }
}

/** The URL, the key or an option is missing or wrong; the text names it and never contains the key. */
class InvalidConfigurationError extends BeckonError {}

/** The trigger cannot be written as JSON, or is larger than 1 MiB. Nothing was buffered. */
class InvalidBodyError extends BeckonError {}

/** The buffer has no room. The new entry was not buffered; those in the buffer stay. */
class BufferFullError extends BeckonError {}

/** The client is closed and takes no more. */
class ClientClosedError extends BeckonError {}

/**
 * One trigger was not delivered. `body` is what was to be sent, with its idempotency key, so that it can be stored and sent
 * again. `status` is the HTTP status, null without an answer. `errors` are the invalid fields, with paths from the top of
 * `body`. The message has the status, the detail and the paths; neither values nor the key.
 */
class DeliveryError extends BeckonError {
  /**
   * @param {string} detail
   * @param {{status?: number | null, errors?: import('../types/schema').FieldProblem[], body?: Record<string, unknown>,
   *   retryAfterMs?: number | null}} [fields]
   */
  constructor(detail, { status = null, errors = [], body = {}, retryAfterMs = null } = {}) {
    const paths = errors.map((problem) => problem.path || 'the whole').join(', ');
    super([status === null ? '' : `${status}:`, detail, paths && `(${paths})`].filter(Boolean).join(' '));
    this.detail = detail;
    this.status = status;
    this.errors = errors;
    this.body = body;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Beckon refused it, and would refuse the same again: a wrong field, key or address. */
class RejectedError extends DeliveryError {}

/** It was not delivered in time. It may be sent again with the same key: it has one effect. */
class UnavailableError extends DeliveryError {}

module.exports = {
  BeckonError,
  BufferFullError,
  ClientClosedError,
  DeliveryError,
  InvalidConfigurationError,
  InvalidBodyError,
  RejectedError,
  UnavailableError,
};
