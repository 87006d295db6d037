/** Nothing here throws into the page: every entry is guarded, and what it would have thrown is a debug line. */

/** How many lines are kept until somebody turns debug on. */
const KEPT_LINES = 30;

/** @type {Array<["log" | "warn", string]>} */
let kept = [];
let debug = false;

/** @param {"log" | "warn"} level @param {string} line */
function print(level, line) {
  try {
    if (debug) console[level](line);
    else if (kept.push([level, line]) > KEPT_LINES) kept.shift();
  } catch {
    // A page may have replaced its console.
  }
}

/** Whether lines are printed. */
export function isDebug() {
  return debug;
}

/** Turn debug on or off. Turning it on prints what has happened on this page so far. @param {boolean} on */
export function setDebug(on) {
  const turnedOn = on && !debug;
  debug = on;
  if (!turnedOn) return;
  const lines = kept;
  kept = [];
  lines.forEach(([level, line]) => print(level, line));
}

/** Print a line in debug. @param {string} line */
export function log(line) {
  print("log", line);
}

/** Print a problem in debug. @param {string} problem */
export function warn(problem) {
  print("warn", "Beckon: " + problem);
}

/** @param {unknown} error @returns {string} */
export function messageOf(error) {
  try {
    return String((error && /** @type {Error} */ (error).message) || error).slice(0, 500);
  } catch {
    return "unknown error";
  }
}

/**
 * Call a function; a thrown error becomes a debug line and the fallback.
 * @template T @param {() => T} call @param {T} fallback @returns {T}
 */
export function attempt(call, fallback) {
  try {
    return call();
  } catch (error) {
    warn(messageOf(error));
    return fallback;
  }
}

/**
 * The same function, which never throws.
 * @template {unknown[]} A @param {(...args: A) => void} call @returns {(...args: A) => void}
 */
export function guard(call) {
  return (...args) => attempt(() => call(...args), undefined);
}

/**
 * Listen without ever throwing into the page or delaying its scrolling.
 * @param {EventTarget} target @param {string} type @param {(event: any) => void} call
 */
export function listen(target, type, call) {
  attempt(() => target.addEventListener(type, guard(call), { capture: true, passive: true }), undefined);
}
