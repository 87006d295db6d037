/**
 * One action on the page as it is being viewed: applied to every element that matches now or later, applied again when a
 * framework renders the element anew, and taken back when the page is left within the same document.
 */
import { createBanner, insertBanner } from "./banner.js";
import { ELEMENT_ACTIONS, isText } from "./element-actions.js";
import { attempt, messageOf } from "./guard.js";
import { resolveUrl } from "./urls.js";

/** How often an element is changed in one page view, and all of an action: a page that keeps writing over it wins. */
const MAX_FOR_ELEMENT = 20, MAX_FOR_ACTION = 2000;
const MAX_ELEMENTS = 500;

/** @typedef {import("./types").Action} Action */

const NEEDS_WEB_URL = "url needs an http or https address";

/** Why an action is refused on any page, or an empty text. @param {Action} action @returns {string} */
export function refuseAction({ action, with: settings }) {
  const kind = Object.prototype.hasOwnProperty.call(ELEMENT_ACTIONS, action) && ELEMENT_ACTIONS[action];
  if (kind) return isText(settings.selector) ? (kind.refuse && kind.refuse(settings)) || "" : "selector is missing";
  if (action === "redirect") return resolveUrl(settings.url) ? "" : NEEDS_WEB_URL;
  if (action !== "insert_banner") return action === "track_event" ? "" : `action ${action} is not known`;
  if (!isText(settings.text)) return "text is missing";
  return settings.url && !resolveUrl(settings.url) ? NEEDS_WEB_URL : "";
}

/** @type {WeakMap<Element, Record<string, ElementChange>>} */
const owners = new WeakMap();

/** A change of elements. */
class ElementChange {
  /** @param {Action} action */
  constructor(action) {
    this.kind = ELEMENT_ACTIONS[action.action];
    this.settings = action.with;
    const { attributes, aspect } = this.kind;
    this.attributes = typeof attributes === "function" ? attributes(this.settings) : attributes;
    this.aspect = typeof aspect === "function" ? aspect(this.settings) : aspect;
    this.applications = 0;
    /** @type {WeakMap<Element, number>} */
    this.counts = new WeakMap();
    /** @type {Map<Element, () => void>} */
    this.undos = new Map();
  }

  /** Bring every matching element to the wanted state. Answers the number of matches; throws why it cannot. */
  apply() {
    const { kind, settings } = this;
    const elements = Array.from(document.querySelectorAll(settings.selector)).slice(0, MAX_ELEMENTS);
    const refusal = kind.refuseFor && elements.map(kind.refuseFor).find(Boolean);
    if (refusal) throw new Error(refusal);
    elements.forEach((element) => {
      if (this.owns(element) && !kind.isApplied(element, settings) && this.mayApply(element)) {
        this.undos.set(element, kind.apply(element, settings));
      }
    });
    return elements.length;
  }

  /** Whether this is the change that came last to this aspect of the element. @param {Element} element */
  owns(element) {
    const changes = owners.get(element) || {};
    owners.set(element, changes);
    if (!this.counts.has(element)) {
      this.counts.set(element, 0);
      changes[this.aspect] = this;
    }
    return changes[this.aspect] === this;
  }

  /** Count the application to an element; false once there were too many. @param {Element} element */
  mayApply(element) {
    const count = (this.counts.get(element) || 0) + 1;
    this.counts.set(element, count);
    return count <= MAX_FOR_ELEMENT && ++this.applications <= MAX_FOR_ACTION;
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
    if (!this.banner.isConnected && this.applications++ < MAX_FOR_ELEMENT) insertBanner(this.banner, this.settings);
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
