/**
 * One MutationObserver for all changes: it applies them again at once, on a busy page at least before the browser paints,
 * and does not see its own work.
 */
import { attempt, guard } from "./guard.js";
import { now } from "./environment.js";

const FRAME_MS = 16;
/** How many checks a frame has before the rest of its changes wait for its end. */
const MAX_CHECKS = 10;

export class PageWatch {
  /** @param {() => void} check Called after the page has changed. */
  constructor(check) {
    this.check = check;
    this.frameAt = -FRAME_MS;
    this.checks = 0;
    this.isScheduled = false;
    /** @type {Set<string>} */
    this.attributes = new Set();
    this.observer = attempt(() => new MutationObserver(guard(() => this.changed())), null);
  }

  /** Watch the document, and these attributes too. @param {string[]} attributes */
  start(attributes) {
    attributes.forEach((name) => this.attributes.add(name.toLowerCase()));
    const filter = Array.from(this.attributes);
    const options = { childList: true, characterData: true, subtree: true };
    if (this.observer) this.observer.observe(document, filter.length ? { ...options, attributeFilter: filter } : options);
  }

  stop() {
    this.attributes.clear();
    if (this.observer) this.observer.disconnect();
  }

  changed() {
    if (this.isScheduled) return;
    const at = now();
    if (at - this.frameAt > FRAME_MS) [this.frameAt, this.checks] = [at, 0];
    if (this.checks++ < MAX_CHECKS) this.run();
    else this.schedule();
  }

  schedule() {
    this.isScheduled = true;
    const run = guard(() => {
      this.isScheduled = false;
      this.run();
    });
    // A hidden page has no frames.
    if (document.hidden) setTimeout(run, FRAME_MS);
    else requestAnimationFrame(run);
  }

  /** Check, and forget what the check itself has changed. */
  run() {
    attempt(this.check, undefined);
    if (this.observer) this.observer.takeRecords();
  }
}
