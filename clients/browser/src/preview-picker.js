/**
 * Picks an element: the pointer or the arrow keys outline one, Enter or a click chooses it, Escape ends. The page gets no
 * event meanwhile.
 */
import { guard } from "./guard.js";
import { buildSelector, labelOf, listAncestors } from "./preview-selector.js";

const SWALLOWED = [
  "click", "dblclick", "auxclick", "contextmenu", "mousedown", "mouseup", "pointerdown", "pointerup", "touchstart",
  "touchend", "submit", "dragstart",
];

/** @typedef {{ selector: string, matches: number, trail: string[] }} Pick */

/** The element as the editor shows it. @param {Element} element @returns {Pick} */
export function describePick(element) {
  const selector = buildSelector(element);
  const trail = [...listAncestors(element).reverse(), element].map(labelOf);
  return { selector, matches: document.querySelectorAll(selector).length, trail: trail.slice(-6) };
}

export class Picker {
  /**
   * @param {import("./preview-overlay.js").Overlay} overlay
   * @param {{ moved: (element: Element) => void, chosen: (element: Element) => void, ended: () => void }} report
   */
  constructor(overlay, report) {
    this.overlay = overlay;
    this.report = report;
    this.isActive = false;
    /** @type {Element | null} */
    this.element = null;
    /** @type {Element[]} The way down again, after going up. */
    this.left = [];
    this.handlers = {
      swallow: guard((/** @type {Event} */ event) => this.swallow(event)),
      move: guard((/** @type {PointerEvent} */ event) => this.hover(event)),
      key: guard((/** @type {KeyboardEvent} */ event) => this.pressed(event)),
    };
  }

  start() {
    if (this.isActive) return;
    this.isActive = true;
    this.element = null;
    SWALLOWED.forEach((type) => window.addEventListener(type, this.handlers.swallow, { capture: true, passive: false }));
    window.addEventListener("pointermove", this.handlers.move, true);
    window.addEventListener("keydown", this.handlers.key, true);
    window.focus();
  }

  stop() {
    if (!this.isActive) return;
    this.isActive = false;
    SWALLOWED.forEach((type) => window.removeEventListener(type, this.handlers.swallow, { capture: true }));
    window.removeEventListener("pointermove", this.handlers.move, true);
    window.removeEventListener("keydown", this.handlers.key, true);
    this.report.ended();
  }

  /** @param {Event} event */
  swallow(event) {
    if (this.overlay.has(event)) return;
    // A touch whose default is prevented makes no click.
    if (!event.type.startsWith("touch")) event.preventDefault();
    event.stopImmediatePropagation();
    if (event.type === "click") this.clicked(/** @type {PointerEvent} */ (event));
  }

  /** A finger has no hover: the first tap outlines, the second chooses. @param {PointerEvent} event */
  clicked(event) {
    const element = this.elementAt(event);
    if (event.pointerType === "touch" && element !== this.element) this.moveTo(element);
    else this.choose();
  }

  /** @param {PointerEvent} event */
  hover(event) {
    if (!this.overlay.has(event) && event.pointerType !== "touch") this.moveTo(this.elementAt(event));
  }

  /** @param {{ clientX: number, clientY: number }} point */
  elementAt({ clientX, clientY }) {
    return document.elementFromPoint(clientX, clientY);
  }

  /** @param {Element | null} element */
  moveTo(element) {
    const isPage = element && element !== this.overlay.host && element !== document.documentElement;
    if (!element || !isPage || element === this.element) return;
    this.element = element;
    this.left = [];
    this.report.moved(element);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (!this.take(event.key)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** Do what a key says, also one that was pressed in the editor; whether it says anything. @param {string} key */
  take(key) {
    if (!this.isActive) return false;
    const { element } = this;
    if (key === "Escape") this.stop();
    else if (key === "Enter") this.choose();
    else if (key === "ArrowUp") this.climb();
    else if (key === "ArrowDown") this.descend();
    else if (key === "ArrowLeft") this.moveTo(element && element.previousElementSibling);
    else if (key === "ArrowRight") this.moveTo(element && element.nextElementSibling);
    else return false;
    return true;
  }

  climb() {
    const { element, left } = this;
    const parent = element && element.parentElement;
    if (!element || !parent || parent === document.documentElement) return;
    this.moveTo(parent);
    this.left = [...left, element];
  }

  descend() {
    const left = this.left.slice(0, -1);
    const child = this.left[this.left.length - 1] || (this.element || document.body).firstElementChild;
    this.moveTo(child);
    this.left = left;
  }

  choose() {
    const { element } = this;
    if (!element) return;
    this.report.chosen(element);
    this.stop();
  }
}
