/** The draft's actions on the page, timed, and taken back. Redirects are not followed and events are not sent. */
import { createChange, refuseAction, tryChange } from "./change.js";
import { now } from "./environment.js";
import { attempt } from "./guard.js";

const MAX_TEXT = 200;

/**
 * @typedef {import("./types").Action} Action
 * @typedef {object} Outcome
 * @property {string} id
 * @property {number | null} matches How many elements matched; null for an action without a selector.
 * @property {number} timeMs
 * @property {string} error Why it failed, or an empty text.
 * @property {string} note What the preview leaves out, or an empty text.
 * @property {string} was The text before, or an empty text.
 */

/** @param {Action} action @returns {Element[]} */
export function findElements({ with: { selector } }) {
  return attempt(() => (typeof selector === "string" ? Array.from(document.querySelectorAll(selector)) : []), []);
}

/** What an action shows on the page: the elements that match, or the banner. @param {Action} action @returns {Element[]} */
export function findChanged(action) {
  return action.action === "insert_banner" ? Array.from(document.querySelectorAll("beckon-banner")) : findElements(action);
}

/** @param {Action} action */
function readText(action) {
  const [element] = action.action === "replace_text" ? findElements(action) : [];
  return element ? (element.textContent || "").trim().slice(0, MAX_TEXT) : "";
}

/** @param {Action} action */
function noteOf({ action, with: { url, name } }) {
  if (action === "redirect") return `Would go to ${url}`;
  return action === "track_event" ? `Would track ${name}` : "";
}

export class PreviewChanges {
  constructor() {
    /** @type {Array<import("./change.js").Change>} */
    this.changes = [];
    /** @type {Outcome[]} */
    this.outcomes = [];
  }

  /** Take everything back, and apply these actions anew. @param {Action[]} actions */
  apply(actions) {
    this.undo();
    this.outcomes = actions.map((action) => this.applyOne(action));
  }

  /** @param {Action} action @returns {Outcome} */
  applyOne(action) {
    const hasSelector = typeof action.with.selector === "string";
    const outcome = { id: action.id, matches: hasSelector ? 0 : null, timeMs: 0, error: "", note: noteOf(action), was: readText(action) };
    const refusal = refuseAction(action);
    if (refusal) return { ...outcome, error: refusal };
    const change = createChange(action);
    if (!change) return outcome;
    const startedAt = now();
    const { matches, error } = tryChange(change);
    const timeMs = now() - startedAt;
    this.changes.push(change);
    return { ...outcome, matches: hasSelector ? Math.max(matches, findElements(action).length) : null, timeMs, error: error || "" };
  }

  /** Apply again what the page has written over. */
  check() {
    this.changes.forEach(tryChange);
  }

  undo() {
    this.changes.reverse().forEach((change) => attempt(() => change.undo(), undefined));
    this.changes = [];
  }
}
