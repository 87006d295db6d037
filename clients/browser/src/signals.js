/** Watches what the visitor does, and says which condition may have come true. */
import { now } from "./environment.js";
import { attempt, guard, listen } from "./guard.js";

/** A touch device has no pointer that leaves the page: leaving shows as a quick flick back to the top. */
const FLICK_MS = 300, FLICK_SCREENS = 0.5, TOUCH_MS = 1500;

/** How far an element is scrolled, in percent of what can be scrolled; 0 if it cannot be scrolled. @param {Element} element */
function measureDepth(element) {
  const range = element.scrollHeight - element.clientHeight;
  return range > 1 ? Math.min(100, ((element.scrollTop + 1) / range) * 100) : 0;
}

export class Signals {
  /** @param {(condition: import("./types").Condition) => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.touchedAt = -Infinity;
    this.scrollDepth = 0;
    this.exitIntent = false;
    /** @type {string[]} */
    this.events = [];
    /** @type {Array<{ at: number, top: number }>} */
    this.positions = [];
    this.visibleMs = 0;
    /** @type {number | null} */
    this.visibleSince = null;
    /** @type {number | undefined} */
    this.timer = undefined;
    this.reset();
    listen(window, "scroll", (event) => this.scrolled(event.target));
    listen(document, "mouseout", (event) => !event.relatedTarget && event.clientY <= 0 && this.leave());
    ["touchstart", "touchmove"].forEach((type) => listen(window, type, () => (this.touchedAt = now())));
    listen(document, "visibilitychange", () => this.countVisibleTime());
  }

  /** Begin a page view. */
  reset() {
    this.scrollDepth = 0;
    this.exitIntent = false;
    this.events = [];
    this.positions = [];
    this.visibleMs = 0;
    this.visibleSince = document.hidden ? null : now();
    clearTimeout(this.timer);
  }

  /** @returns {number} */
  get timeOnPageMs() {
    return this.visibleMs + (this.visibleSince === null ? 0 : now() - this.visibleSince);
  }

  countVisibleTime() {
    this.visibleMs = this.timeOnPageMs;
    this.visibleSince = document.hidden ? null : now();
    this.changed("timeOnPageMs");
  }

  /** Call when the page has been visible for so long. @param {number} timeMs */
  awaitTime(timeMs) {
    clearTimeout(this.timer);
    if (this.visibleSince === null || timeMs === Infinity) return;
    // A timer may run a moment early, and no timer takes more than 24 days.
    const delay = Math.min(Math.max(0, timeMs - this.timeOnPageMs) + 1, 2 ** 31 - 1);
    this.timer = setTimeout(guard(() => this.changed("timeOnPageMs")), delay);
  }

  /** @param {EventTarget} target */
  scrolled(target) {
    const root = document.scrollingElement || document.documentElement;
    const element = target instanceof Element ? target : root;
    // An application may scroll its main part instead of the document; lists within the page don't count.
    if (element !== root && element.clientHeight < window.innerHeight / 2) return;
    this.noticeFlick(element.scrollTop);
    const depth = measureDepth(element);
    if (depth <= this.scrollDepth) return;
    this.scrollDepth = depth;
    this.changed("scrollDepth");
  }

  /** @param {number} top */
  noticeFlick(top) {
    const at = now();
    if (at - this.touchedAt > TOUCH_MS) return;
    this.positions = [...this.positions.filter((position) => at - position.at < FLICK_MS), { at, top }];
    const highest = Math.max(...this.positions.map((position) => position.top));
    if (highest - top > window.innerHeight * FLICK_SCREENS) this.leave();
  }

  leave() {
    if (this.exitIntent) return;
    this.exitIntent = true;
    this.changed("exitIntent");
  }

  /** @param {string} name */
  emit(name) {
    if (!this.events.includes(name)) this.events.push(name);
    attempt(() => this.changed("event"), undefined);
  }
}
