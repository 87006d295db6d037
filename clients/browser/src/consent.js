/**
 * Whether something may be sent and stored: by the visitor's consent, else unless the browser sends Do Not Track or
 * Global Privacy Control.
 */
import { hasPrivacySignal } from "./environment.js";
import { attempt } from "./guard.js";

export class Consent {
  /** @param {string} siteKey */
  constructor(siteKey) {
    this.name = `beckon:${siteKey}:consent`;
    this.hasSignal = hasPrivacySignal();
    const answer = attempt(() => localStorage.getItem(this.name), null);
    /** @type {boolean | null} */
    this.answer = answer === null ? null : answer === "1";
  }

  isGiven() {
    return this.answer === null ? !this.hasSignal : this.answer;
  }

  /**
   * Remember the answer. A refusal is remembered only where nothing else says so: with a privacy signal nothing at all
   * stays behind.
   * @param {boolean} isGiven
   */
  remember(isGiven) {
    this.answer = isGiven;
    attempt(() => {
      if (isGiven || !this.hasSignal) localStorage.setItem(this.name, isGiven ? "1" : "0");
      else localStorage.removeItem(this.name);
    }, undefined);
  }
}
