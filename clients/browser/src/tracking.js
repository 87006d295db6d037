/** The body that is sent for an execution: everything in one request, bounded. */
import { attempt } from "./guard.js";

/** @typedef {import("./types").TrackedExecution} TrackedExecution */
/** @typedef {import("./types").TrackedAction} TrackedAction */

/** A beacon is at most 64 KiB in every browser, headers included. */
export const MAX_BODY_BYTES = 60000;
const MAX_CONFIG_BYTES = 8000, MAX_URL = 2000, MAX_SELECTOR = 1000, MAX_TEXT = 500;

/** The address without what may identify a person: only UTM parameters of the query stay. @param {string} url */
export function cleanUrl(url) {
  const { origin, pathname, search } = new URL(url);
  const utm = search.slice(1).split("&").filter((part) => /^utm_\w+=/i.test(part)).join("&");
  return (origin + pathname + (utm && "?" + utm)).slice(0, MAX_URL);
}

/** A page may have given objects a `toJSON` of its own, as old libraries do. @param {any} value @returns {any} */
function shield(value) {
  if (!value || typeof value !== "object") return value;
  Object.defineProperty(value, "toJSON", { value: undefined, configurable: true });
  Object.keys(value).forEach((key) => shield(value[key]));
  return value;
}

/** @param {any} value @returns {string} */
const toJson = (value) => attempt(() => JSON.stringify(shield(value)), "");

/** @param {string} text */
const countBytes = (text) => new Blob([text]).size;

/** The same with long texts cut. @param {any} value @param {number} length @returns {any} */
function cutTexts(value, length) {
  if (typeof value === "string") return value.slice(0, length);
  if (!value || typeof value !== "object") return value;
  const copy = /** @type {any} */ (Array.isArray(value) ? [] : {});
  Object.keys(value).forEach((key) => (copy[key] = cutTexts(value[key], length)));
  return copy;
}

/** @param {Record<string, any>} config @returns {Record<string, any>} */
function boundConfig(config) {
  const isLarge = countBytes(toJson(config)) > MAX_CONFIG_BYTES;
  const cut = isLarge ? cutTexts(config, MAX_TEXT) : config;
  return isLarge && countBytes(toJson(cut)) > MAX_CONFIG_BYTES ? {} : cut;
}

/** @param {import("./execution.js").Entry} entry @returns {TrackedAction} */
function buildAction({ action, executionTimeMs, error }) {
  const { selector, ...config } = action.with;
  return {
    name: action.name,
    ...(typeof selector === "string" ? { selector: selector.slice(0, MAX_SELECTOR) } : {}),
    executionTimeMs: Math.round(executionTimeMs),
    config: boundConfig(config),
    ...(error ? { error: error.slice(0, MAX_TEXT) } : {}),
  };
}

/**
 * @param {import("./execution.js").Execution} execution
 * @param {{ sessionId: string, userId: string | null, deviceType: import("./types").Device }} visitor
 * @returns {TrackedExecution}
 */
export function buildTrackedExecution(execution, visitor) {
  return {
    executionId: execution.id,
    workflowId: execution.playbook.id,
    userId: visitor.userId,
    status: execution.status,
    executionTimeMs: Math.round(execution.executionTimeMs),
    pageUrl: cleanUrl(execution.pageUrl),
    sessionId: visitor.sessionId,
    deviceType: visitor.deviceType,
    triggerName: execution.triggerName,
    actions: execution.entries.map(buildAction),
  };
}

/** @param {TrackedAction} action @param {number} length @returns {TrackedAction} */
const shorten = (action, length) => ({ ...action, config: length ? cutTexts(action.config, length) : {} });

/** The body as text, trimmed to what a beacon takes: texts first, then settings, then the last actions. @param {TrackedExecution} tracked */
export function serialize(tracked) {
  const { actions } = tracked;
  const attempts = [
    actions,
    ...[500, 100, 0].map((length) => actions.map((action) => shorten(action, length))),
    actions.slice(0, 20).map((action) => shorten(action, 0)),
  ];
  for (const kept of attempts) {
    const text = toJson({ ...tracked, actions: kept.slice() });
    if (text && countBytes(text) <= MAX_BODY_BYTES) return text;
  }
  return "";
}
