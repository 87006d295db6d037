/** The conditions of a playbook: pure comparisons with a page view, used by the script and by the preview. */
import { matchesUrl } from "./urls.js";

/** @typedef {import("./types").Condition} Condition */
/** @typedef {import("./types").PageView} PageView */
/** @typedef {import("./types").Trigger} Trigger */

/** The names that are tracked, in the order in which conditions that hold from the start are taken to come true. */
export const TRIGGER_NAMES = {
  url: "Page URL",
  device: "Device Type",
  returning: "Returning Visitor",
  utm: "UTM Parameters",
  scrollDepth: "Scroll Depth",
  timeOnPageMs: "Time on Page",
  exitIntent: "Exit Intent",
  event: "Custom Event",
};

/** @type {Condition[]} */
const CONDITIONS = /** @type {any} */ (Object.keys(TRIGGER_NAMES));

/** @param {string} text */
const normalize = (text) => text.trim().toLowerCase();

/** @param {Record<string, string>} expected @param {Record<string, string>} actual */
const hasParameters = (expected, actual) =>
  Object.keys(expected).every((name) => normalize(actual[name] || "") === normalize(expected[name]));

/** @type {Record<Condition, (expected: any, view: PageView) => boolean>} */
const HOLDS = {
  url: (pattern, view) => matchesUrl(pattern, view.url),
  device: (devices, view) => devices.includes(view.device),
  returning: (isReturning, view) => isReturning === view.returning,
  utm: (parameters, view) => hasParameters(parameters, view.utm),
  scrollDepth: (depth, view) => view.scrollDepth >= depth,
  timeOnPageMs: (time, view) => view.timeOnPageMs >= time,
  exitIntent: (_, view) => view.exitIntent,
  event: (name, view) => view.events.includes(name),
};

/**
 * Whether each condition of the trigger holds, by its key.
 * @param {Trigger} trigger @param {PageView} view @returns {Partial<Record<Condition, boolean>>}
 */
export function evaluateConditions(trigger, view) {
  const results = /** @type {Partial<Record<Condition, boolean>>} */ ({});
  CONDITIONS.forEach((name) => {
    if (trigger[name] !== undefined) results[name] = HOLDS[name](trigger[name], view);
  });
  return results;
}

/** Whether all conditions hold. @param {Trigger} trigger @param {PageView} view */
export function holds(trigger, view) {
  return CONDITIONS.every((name) => trigger[name] === undefined || HOLDS[name](trigger[name], view));
}

/**
 * The tracked name of the condition that came true last.
 * @param {Trigger} trigger @param {Condition} [changed] What changed just now, if anything did.
 */
export function nameTrigger(trigger, changed) {
  const present = CONDITIONS.filter((name) => trigger[name] !== undefined);
  const last = changed && present.includes(changed) ? changed : present[present.length - 1];
  return TRIGGER_NAMES[last || "url"];
}
