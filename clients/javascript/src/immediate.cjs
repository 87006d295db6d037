// One entry, delivered while the caller waits: with retries, within a time.
'use strict';

const { UnavailableError } = require('./errors.cjs');
const { buildRejection } = require('./outcomes.cjs');
const { computeDelay, isTemporary } = require('./retries.cjs');

/**
 * The answer. Rejects with `RejectedError`, with `UnavailableError` where there is none in time, and with the reason of
 * `signal` once it is aborted.
 * @param {import('./transport.cjs').Transport} transport
 * @param {import('./configuration.cjs').Configuration} configuration
 * @param {import('./entries.cjs').Kind} kind
 * @param {import('./entries.cjs').Entry} entry
 * @param {number} timeoutMs
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
async function deliverNow(transport, configuration, kind, entry, timeoutMs, signal) {
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    signal?.throwIfAborted();
    const timeout = Math.max(1, Math.min(configuration.requestMs, deadline - performance.now()));
    const { answer, failure } = await attemptPost(transport, kind, entry, timeout, signal);
    signal?.throwIfAborted();
    if (answer !== null && answer.status >= 200 && answer.status < 300) return answer.body;
    const retryAfterMs = answer?.retryAfterMs ?? null;
    if (answer !== null && !isTemporary(answer.status, retryAfterMs)) {
      throw buildRejection(answer, entry.body, answer.body.errors ?? []);
    }
    const delay = computeDelay(attempt, retryAfterMs);
    if (performance.now() + delay >= deadline) {
      const reason = failure ?? answer?.body.detail ?? answer?.status;
      const fields = { status: answer?.status ?? null, body: entry.body, retryAfterMs };
      throw new UnavailableError(`Beckon did not accept it in time: ${reason}`, fields);
    }
    await sleep(delay, signal);
  }
}

/**
 * @param {import('./transport.cjs').Transport} transport
 * @param {import('./entries.cjs').Kind} kind
 * @param {import('./entries.cjs').Entry} entry
 * @param {number} timeout
 * @param {AbortSignal} [signal]
 */
async function attemptPost(transport, kind, entry, timeout, signal) {
  try {
    return { answer: await transport.post(kind.path, entry.content, timeout, signal), failure: null };
  } catch (error) {
    return { answer: null, failure: `no answer (${/** @type {Error} */ (error).message})` };
  }
}

/** @param {number} milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener('abort', end, { once: true });
  });
}

module.exports = { deliverNow };
