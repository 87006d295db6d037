/**
 * What is kept about the visitor: in local storage while that is permitted and works, else in memory for this page.
 */
import { attempt } from "./guard.js";

export class VisitorStorage {
  /** @param {string} siteKey @param {() => boolean} isPermitted */
  constructor(siteKey, isPermitted) {
    this.prefix = `beckon:${siteKey}:`;
    this.isPermitted = isPermitted;
    /** @type {Map<string, unknown>} */
    this.memory = new Map();
  }

  /** @param {string} name @returns {any} The value, or null. */
  read(name) {
    const kept = this.isPermitted() ? attempt(() => localStorage.getItem(this.prefix + name), null) : null;
    const value = kept === null ? null : attempt(() => JSON.parse(kept), null);
    return value === null && this.memory.has(name) ? this.memory.get(name) : value;
  }

  /** @param {string} name @param {unknown} value */
  write(name, value) {
    this.memory.set(name, value);
    if (this.isPermitted()) attempt(() => localStorage.setItem(this.prefix + name, JSON.stringify(value)), undefined);
  }

  /** Keep what is in memory, once it is permitted. */
  persist() {
    Array.from(this.memory).forEach(([name, value]) => this.write(name, value));
  }

  /** Remove everything of this site. */
  clear() {
    this.memory.clear();
    attempt(() => {
      const names = Object.keys(localStorage).filter((name) => name.startsWith(this.prefix));
      names.forEach((name) => localStorage.removeItem(name));
    }, undefined);
  }
}
