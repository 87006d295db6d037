// The client's configuration: checked once, when the client is created.
'use strict';

const { InvalidConfigurationError } = require('./errors.cjs');

/**
 * Where to send, and how long to wait: the options with their defaults.
 * @typedef {Required<Omit<import('../types/index').ClientOptions, 'onError'>> &
 *   {onError: ((error: import('../types/index').DeliveryError) => unknown) | null}} Configuration
 */

const DEFAULTS = Object.freeze({
  maxBuffered: 10_000,
  maxBufferedBytes: 64 * 1024 * 1024,
  lingerMs: 50,
  requestMs: 30_000,
  nowMs: 10_000,
  exitMs: 5_000,
  flushOnSignals: true,
});
const POSITIVE = ['maxBuffered', 'maxBufferedBytes', 'requestMs', 'nowMs'];
const DURATIONS = ['lingerMs', 'exitMs'];

/**
 * The configuration of these options and the environment. Throws `InvalidConfigurationError`, without the key.
 * @param {import('../types/index').ClientOptions} options
 * @returns {Configuration}
 */
function readConfiguration(options) {
  const present = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const configuration = { logger: console, onError: null, ...DEFAULTS, ...present };
  for (const name of [...POSITIVE, ...DURATIONS]) checkNumber(name, /** @type {any} */ (configuration)[name]);
  return {
    ...configuration,
    url: readUrl(options.url ?? process.env.BECKON_URL),
    apiKey: readKey(options.apiKey ?? process.env.BECKON_API_KEY),
  };
}

/** @param {string} name @param {unknown} value */
function checkNumber(name, value) {
  const least = POSITIVE.includes(name) ? 1 : 0;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < least) {
    throw new InvalidConfigurationError(`${name} must be a number of ${least} or more.`);
  }
}

/** @param {string | undefined} text */
function readUrl(text) {
  if (!text) throw new InvalidConfigurationError('The URL of Beckon is missing. Pass url or set BECKON_URL.');
  const url = parseUrl(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol) || /[^!-~]/.test(text)) {
    throw new InvalidConfigurationError('The URL of Beckon must look like https://beckon.example.com.');
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new InvalidConfigurationError('The URL of Beckon may have no user, query or fragment.');
  }
  return text.replace(/\/+$/, '');
}

/** @param {string} text */
function parseUrl(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** @param {string | undefined} text */
function readKey(text) {
  if (!text) throw new InvalidConfigurationError('The API key is missing. Pass apiKey or set BECKON_API_KEY.');
  if (typeof text !== 'string' || /[^!-~]/.test(text)) {
    throw new InvalidConfigurationError('The API key has a character that no key has, such as a space or a line break.');
  }
  return text;
}

module.exports = { readConfiguration };
