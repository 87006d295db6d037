/**
 * One MutationObserver for all changes: it applies them again before the browser paints, at most once a frame, and does
 * not see its own work.
 */
import { attempt, guard } from "./guard.js";
import { now } from "./environment.js";

const FRAME_MS = 16;

export class PageWatch {
  /** @param {() => void} check Called after the page has changed. */
  constructor(check) {
    this.check = check;
    this.checkedAt = -FRAME_MS;
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
    if (now() - this.checkedAt > FRAME_MS) this.run();
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
    this.checkedAt = now();
    attempt(this.check, undefined);
    if (this.observer) this.observer.takeRecords();
  }
}
