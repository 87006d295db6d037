// Which answers are worth a retry, and how long to wait before it.
'use strict';

/** The server or a proxy before it cannot answer now. 409 is among them only with Retry-After: the key is in use. */
const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504]);
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 30_000;
/** Maximum that Retry-After may ask for: a wrong date must not stop a producer for good. */
const MAX_RETRY_AFTER_MS = 3_600_000;

/**
 * Whether the same request may succeed later.
 * @param {number} status
 * @param {number | null} retryAfterMs
 */
function isTemporary(status, retryAfterMs) {
  return TEMPORARY.has(status) || (status === 409 && retryAfterMs !== null);
}

/**
 * Milliseconds before the retry after the attempt with this number, the first being 1: exponential, with a random half,
 * so that producers do not return together; never less than Retry-After.
 * @param {number} attempt
 * @param {number | null} retryAfterMs
 */
function computeDelay(attempt, retryAfterMs) {
  const backoff = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt - 1, 10));
  const jittered = backoff * (0.5 + Math.random() / 2);
  return Math.max(jittered, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS));
}

/**
 * Milliseconds from now, of a number of seconds or an HTTP date; null where there is neither.
 * @param {string | null} text
 */
function parseRetryAfter(text) {
  if (text === null) return null;
  if (/^\s*\d+\s*$/.test(text)) return Number(text) * 1000;
  const moment = Date.parse(text);
  return Number.isNaN(moment) ? null : Math.max(0, moment - Date.now());
}

module.exports = { computeDelay, isTemporary, parseRetryAfter };
