// One request to Beckon and its answer. Retries are decided elsewhere; redirects are never followed, because the key would
// go with them.
'use strict';

const { version } = require('../package.json');
const { parseRetryAfter } = require('./retries.cjs');

/** Maximum bytes of an answer: that of 1,000 triggers has less than a tenth. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** No answer came; whether the request was processed is not known. */
class ConnectionFailedError extends Error {}

/** A 2xx that is not Beckon's. */
class NotBeckonError extends Error {
  name = 'NotAnAnswerOfBeckon';
}

/**
 * An answer's status, its JSON object (empty where it has none), and its Retry-After.
 * @typedef {{status: number, body: Record<string, any>, retryAfterMs: number | null}} Answer
 */

/** Requests to one Beckon. */
class Transport {
  #url;
  #headers;

  /** @param {import('./configuration.cjs').Configuration} configuration */
  constructor(configuration) {
    this.#url = configuration.url;
    this.#headers = {
      Authorization: `Bearer ${configuration.apiKey}`,
      'Content-Type': 'application/json',
      Accept: 'application/json',
      'User-Agent': `beckon-client-javascript/${version}`,
    };
  }

  /**
   * Send a JSON body, for at most `milliseconds`. Rejects with `ConnectionFailedError`.
   * @param {string} path
   * @param {string} body
   * @param {number} milliseconds
   * @param {AbortSignal} [signal]
   * @returns {Promise<Answer>}
   */
  async post(path, body, milliseconds, signal) {
    const controller = new AbortController();
    const abort = () => controller.abort();
    const timer = setTimeout(abort, milliseconds);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const response = await fetch(this.#url + path, {
        method: 'POST',
        body,
        headers: this.#headers,
        redirect: 'manual',
        signal: controller.signal,
      });
      const content = await readContent(response);
      const answer = {
        status: response.status,
        body: parseObject(content),
        retryAfterMs: parseRetryAfter(response.headers.get('retry-after')),
      };
      // A page of a proxy, or an answer that was cut: nothing says that the entries are accepted.
      if (response.ok && answer.body.success !== true) throw new NotBeckonError();
      return answer;
    } catch (error) {
      throw new ConnectionFailedError(describe(error));
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** @param {Response} response */
async function readContent(response) {
  const chunks = [];
  let size = 0;
  for await (const chunk of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (response.body ?? []))) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too large');
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** @param {string} content @returns {Record<string, any>} */
function parseObject(content) {
  try {
    const value = JSON.parse(content);
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {};
  } catch {
    return {};
  }
}

/** @param {any} error */
function describe(error) {
  return String(error?.cause?.code ?? error?.name ?? 'Error');
}

module.exports = { ConnectionFailedError, Transport };
