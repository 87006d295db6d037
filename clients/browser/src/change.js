/**
 * One action on the page as it is being viewed: applied to every element that matches now or later, applied again when a
 * framework renders the element anew, and taken back when the page is left within the same document.
 */
import { createBanner, insertBanner } from "./banner.js";
import { ELEMENT_ACTIONS } from "./element-actions.js";
import { attempt, messageOf } from "./guard.js";
import { resolveUrl } from "./urls.js";

/** How often one action is applied in one page view: a page that keeps writing over it wins in the end. */
const MAX_APPLICATIONS = 100;
const MAX_ELEMENTS = 200;

/** @typedef {import("./types").Action} Action */

/** Why an action is refused on any page, or an empty text. @param {Action} action @returns {string} */
export function refuseAction({ action, with: settings }) {
  const kind = ELEMENT_ACTIONS[action];
  if (kind) {
    if (typeof settings.selector !== "string" || !settings.selector) return "selector is missing";
    return (kind.refuse && kind.refuse(settings)) || "";
  }
  if (action === "insert_banner") return settings.url && !resolveUrl(settings.url) ? "url needs an http or https address" : "";
  if (action === "redirect") return resolveUrl(settings.url) ? "" : "url needs an http or https address";
  return action === "track_event" ? "" : `action ${action} is not known`;
}

/** A change of elements. */
class ElementChange {
  /** @param {Action} action */
  constructor(action) {
    this.kind = ELEMENT_ACTIONS[action.action];
    this.settings = action.with;
    this.attributes = typeof this.kind.attributes === "function" ? this.kind.attributes(this.settings) : this.kind.attributes;
    this.applications = 0;
    /** @type {Map<Element, () => void>} */
    this.undos = new Map();
  }

  /** Bring every matching element to the wanted state. Answers the number of matches; throws why it cannot. */
  apply() {
    const { kind, settings } = this;
    const elements = Array.from(document.querySelectorAll(settings.selector)).slice(0, MAX_ELEMENTS);
    for (const element of elements) {
      if (kind.isApplied(element, settings) || this.applications >= MAX_APPLICATIONS) continue;
      const refusal = kind.refuseFor && kind.refuseFor(element, settings);
      if (refusal) throw new Error(refusal);
      this.applications++;
      this.undos.set(element, kind.apply(element, settings));
    }
    return elements.length;
  }

  undo() {
    this.undos.forEach((undo) => attempt(undo, undefined));
    this.undos.clear();
  }
}

/** A banner, which is put back when a framework removes it and stays away when the visitor closes it. */
class BannerChange {
  /** @param {Action} action */
  constructor(action) {
    this.settings = action.with;
    /** @type {string[]} */
    this.attributes = [];
    this.applications = 0;
    this.isDismissed = false;
    /** @type {HTMLElement | undefined} */
    this.banner = undefined;
  }

  apply() {
    if (this.isDismissed) return 1;
    if (!document.body) return 0;
    this.banner = this.banner || createBanner(this.settings, () => this.dismiss());
    if (!this.banner.isConnected && this.applications++ < MAX_APPLICATIONS) insertBanner(this.banner, this.settings);
    return 1;
  }

  dismiss() {
    this.isDismissed = true;
    this.undo();
  }

  undo() {
    if (this.banner) this.banner.remove();
  }
}

/**
 * @typedef {object} Change
 * @property {string[]} attributes The attributes that a framework may write over.
 * @property {() => number} apply
 * @property {() => void} undo
 */

/** The change that an action makes, or null where it changes no element. @param {Action} action @returns {Change | null} */
export function createChange(action) {
  if (ELEMENT_ACTIONS[action.action]) return new ElementChange(action);
  return action.action === "insert_banner" ? new BannerChange(action) : null;
}

/** Apply, without throwing: the number of matches or the error. @param {Change} change @returns {{ matches: number, error?: string }} */
export function tryChange(change) {
  try {
    return { matches: change.apply() };
  } catch (error) {
    return { matches: 0, error: messageOf(error) };
  }
}
