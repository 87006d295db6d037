// Open clients at the end of the process, and at SIGTERM and SIGINT.
'use strict';

/** @type {Set<import('./client.cjs').Client>} */
const open = new Set();
const SIGNALS = /** @type {const} */ (['SIGTERM', 'SIGINT']);
let isListening = false;
let hasSignalListeners = false;

/**
 * Close the client when the process ends.
 * @param {import('./client.cjs').Client} client
 * @param {boolean} flushOnSignals
 */
function register(client, flushOnSignals) {
  open.add(client);
  if (!isListening) {
    isListening = true;
    process.on('beforeExit', closeAll);
  }
  if (flushOnSignals && !hasSignalListeners) {
    hasSignalListeners = true;
    for (const signal of SIGNALS) process.on(signal, endProcess);
  }
}

/** The client is closed. @param {import('./client.cjs').Client} client */
function unregister(client) {
  open.delete(client);
}

/** Never rejects: `close` does not. */
async function closeAll() {
  await Promise.all([...open].map((client) => client.close()));
}

/**
 * Empty the buffers, then end as if there were no listener. Listeners of the application decide the end themselves; a second
 * signal ends the process at once.
 * @param {NodeJS.Signals} signal
 */
async function endProcess(signal) {
  for (const name of SIGNALS) process.off(name, endProcess);
  hasSignalListeners = false;
  const isOurs = process.listenerCount(signal) === 0;
  await closeAll();
  if (isOurs) process.kill(process.pid, signal);
}

module.exports = { register, unregister };
