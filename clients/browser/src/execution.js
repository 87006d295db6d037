/**
 * One execution of a playbook: its actions in their order, each timed. An element that is not there yet is waited for;
 * what has been applied is applied again until the page is left.
 */
import { createChange, refuseAction, tryChange } from "./change.js";
import { createId, now } from "./environment.js";
import { guard } from "./guard.js";
import { leaveFor, prepareRedirect } from "./redirect.js";

/** How long an action waits for its element. */
export const ELEMENT_TIMEOUT_MS = 10000;

/**
 * @typedef {object} Entry
 * @property {import("./types").Action} action
 * @property {import("./change.js").Change | null} change
 * @property {boolean} isSettled
 * @property {boolean} isLate Whether its element did not appear in time.
 * @property {number} executionTimeMs
 * @property {string} [error]
 */

export class Execution {
  /**
   * @param {import("./types").Playbook} playbook @param {string} triggerName
   * @param {import("./storage.js").VisitorStorage} storage
   * @param {(execution: Execution) => void} finished Called once.
   */
  constructor(playbook, triggerName, storage, finished) {
    this.playbook = playbook;
    this.triggerName = triggerName;
    this.storage = storage;
    this.finished = finished;
    this.isFinished = false;
    this.id = createId();
    this.pageUrl = location.href;
    this.startedAt = now();
    this.executionTimeMs = 0;
    this.redirectUrl = "";
    /** @type {Entry[]} */
    this.entries = playbook.actions.map((action) => ({
      action, change: null, isSettled: false, isLate: false, executionTimeMs: 0,
    }));
  }

  start() {
    this.entries.forEach((entry) => this.begin(entry));
    if (this.redirectUrl) this.expire();
    else this.finishIfSettled();
    if (!this.isFinished) this.timer = setTimeout(guard(() => this.expire()), ELEMENT_TIMEOUT_MS);
    if (this.redirectUrl) leaveFor(this.redirectUrl);
  }

  /** @param {Entry} entry */
  begin(entry) {
    const startedAt = now();
    const { action } = entry;
    entry.error = refuseAction(action) || undefined;
    if (!entry.error && action.action === "redirect" && !this.redirectUrl) {
      ({ url: this.redirectUrl, error: entry.error } = prepareRedirect(action.with.url, this.storage));
    }
    entry.change = entry.error ? null : createChange(action);
    if (entry.change) return this.apply(entry);
    this.settle(entry, startedAt);
  }

  /** @param {Entry} entry */
  apply(entry) {
    if (!entry.change) return;
    const startedAt = now();
    const { matches, error } = tryChange(entry.change);
    if (entry.isSettled || !(matches || error)) return;
    entry.error = error;
    if (error) entry.change = null;
    this.settle(entry, startedAt);
  }

  /** @param {Entry} entry @param {number} startedAt */
  settle(entry, startedAt) {
    entry.isSettled = true;
    entry.executionTimeMs = now() - startedAt;
  }

  /** Bring the page to the wanted state again, after it has changed. */
  check() {
    this.entries.forEach((entry) => this.apply(entry));
    this.finishIfSettled();
  }

  /** End the wait for elements: those that have not appeared are late. */
  expire() {
    if (this.isFinished) return;
    this.entries.forEach((entry) => this.apply(entry));
    this.entries.forEach((entry) => {
      if (entry.isSettled) return;
      entry.isSettled = entry.isLate = true;
      entry.error = "no element matched the selector in time";
    });
    this.finishIfSettled();
  }

  finishIfSettled() {
    if (this.isFinished || !this.entries.every((entry) => entry.isSettled)) return;
    this.isFinished = true;
    clearTimeout(this.timer);
    this.executionTimeMs = now() - this.startedAt;
    this.finished(this);
  }

  /** @returns {"success" | "error" | "timeout"} */
  get status() {
    if (this.entries.some((entry) => entry.error && !entry.isLate)) return "error";
    return this.entries.some((entry) => entry.isLate) ? "timeout" : "success";
  }

  /** The attributes whose changes matter. @returns {string[]} */
  get attributes() {
    return this.entries.reduce((names, { change }) => names.concat(change ? change.attributes : []), /** @type {string[]} */ ([]));
  }

  /** Take the changes back, the last first. */
  undo() {
    this.entries.slice().reverse().forEach(({ change }) => change && change.undo());
  }
}
