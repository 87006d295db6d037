/** The playbooks of one site on one page: when their conditions hold they execute, and what they did is tracked. */
import { Consent } from "./consent.js";
import { Delivery } from "./delivery.js";
import { detectDevice } from "./environment.js";
import { Execution } from "./execution.js";
import { FrequencyCap } from "./frequency.js";
import { guard, listen, log, warn } from "./guard.js";
import { onNavigation } from "./navigation.js";
import { PageWatch } from "./page-watch.js";
import { PlaybookSource } from "./playbook-list.js";
import { openSession } from "./session.js";
import { Signals } from "./signals.js";
import { VisitorStorage } from "./storage.js";
import { buildTrackedExecution, serialize } from "./tracking.js";
import { holds, nameTrigger } from "./triggers.js";

/** @typedef {import("./types").Playbook} Playbook */
/** @typedef {import("./types").PlaybookList} PlaybookList */

/** How often one playbook executes until the document is left. */
const MAX_EXECUTIONS = 50;
/** How many executions wait in memory for consent. */
const MAX_HELD = 50;

/** @param {Playbook} playbook */
const redirects = (playbook) => playbook.actions.some(({ action }) => action === "redirect");

export class PlaybookSystem {
  /** @param {string} origin @param {string} siteKey */
  constructor(origin, siteKey) {
    const key = encodeURIComponent(siteKey);
    this.consent = new Consent(siteKey);
    this.storage = new VisitorStorage(siteKey, () => this.consent.isGiven());
    this.source = new PlaybookSource(`${origin}/api/playbooks?k=${key}`, this.storage);
    this.delivery = new Delivery(`${origin}/api/track-execution?k=${key}`, this.storage);
    this.cap = new FrequencyCap(this.storage);
    this.device = detectDevice();
    this.session = openSession(this.storage, location.search, Date.now());
    /** @type {string | null} */
    this.userId = null;
    /** @type {PlaybookList | null} */
    this.list = null;
    /** @type {Map<string, Execution>} The executions of this page view, by playbook. */
    this.executions = new Map();
    /** @type {Map<string, number>} */
    this.counts = new Map();
    /** @type {Array<{ name: string, id: string, body: string }>} */
    this.held = [];
    this.signals = new Signals((condition) => this.evaluate(condition));
    this.watch = new PageWatch(() => this.executions.forEach((execution) => execution.check()));
  }

  start() {
    onNavigation(() => this.navigated());
    listen(window, "pagehide", () => this.leave());
    const copy = this.source.readCopy();
    // A redirect leaves before the fresh list has come: from the copy it could happen again for as long as the copy lasts.
    if (copy) this.use({ ...copy, playbooks: copy.playbooks.filter((playbook) => !redirects(playbook)) });
    this.source.load(guard((list) => this.received(list)));
  }

  /** @param {PlaybookList | null} list */
  received(list) {
    if (list) this.use(list);
    if (this.list && this.list.tracking) this.delivery.open();
    else if (this.list) this.delivery.clear();
  }

  /** @param {PlaybookList} list */
  use(list) {
    this.list = list;
    const ids = list.playbooks.map(({ id }) => id);
    this.executions.forEach((execution, id) => !ids.includes(id) && this.end(execution));
    this.evaluate();
  }

  /** @returns {import("./types").PageView} */
  get view() {
    const { scrollDepth, timeOnPageMs, exitIntent, events } = this.signals;
    const { utm, returning } = this.session;
    return { url: location.href, device: this.device, utm, returning, scrollDepth, timeOnPageMs, exitIntent, events };
  }

  /** Execute every playbook whose conditions have come to hold. @param {import("./types").Condition} [changed] */
  evaluate(changed) {
    if (!this.list) return;
    const { view } = this;
    const waiting = this.list.playbooks.filter(({ id }) => !this.executions.has(id));
    const due = waiting.filter((playbook) => holds(playbook.trigger, view) && this.allows(playbook));
    due.forEach((playbook) => this.execute(playbook, nameTrigger(playbook.trigger, changed)));
    const times = waiting.map(({ trigger }) => trigger.timeOnPageMs || 0).filter((time) => time > view.timeOnPageMs);
    this.signals.awaitTime(Math.min(...times));
  }

  /** @param {Playbook} playbook */
  allows(playbook) {
    return (this.counts.get(playbook.id) || 0) < MAX_EXECUTIONS && this.cap.allows(playbook, Date.now());
  }

  /** @param {Playbook} playbook @param {string} triggerName */
  execute(playbook, triggerName) {
    log(`🎯 Workflow triggered: ${playbook.name} by ${triggerName}`);
    this.cap.count(playbook, Date.now());
    this.counts.set(playbook.id, (this.counts.get(playbook.id) || 0) + 1);
    const execution = new Execution(playbook, triggerName, this.storage, (finished) => this.finished(finished));
    this.executions.set(playbook.id, execution);
    execution.start();
    this.watch.start(execution.attributes);
  }

  /** @param {Execution} execution */
  finished(execution) {
    execution.entries.forEach(({ action, error }) => error && warn(`${execution.playbook.name}, ${action.name}: ${error}`));
    this.track(execution);
  }

  /** @param {Execution} execution */
  track(execution) {
    if (!this.list || !this.list.tracking || this.consent.answer === false) return;
    const { id } = execution;
    const visitor = { sessionId: this.session.id, userId: this.userId, deviceType: this.device };
    const body = serialize(buildTrackedExecution(execution, visitor));
    if (!body) return;
    const tracked = { name: execution.playbook.name, id, body };
    if (this.consent.isGiven()) this.deliver(tracked);
    else this.held = [...this.held, tracked].slice(-MAX_HELD);
  }

  /** @param {{ name: string, id: string, body: string }} tracked */
  deliver({ name, id, body }) {
    log("📊 Tracking execution for workflow: " + name);
    this.delivery.add(id, body);
  }

  /** Let the playbooks that wait for this event execute, also again. @param {string} name */
  emit(name) {
    const { playbooks } = this.list || { playbooks: [] };
    playbooks.forEach(({ id, trigger }) => {
      const execution = this.executions.get(id);
      if (trigger.event === name && execution && execution.isFinished) this.end(execution);
    });
    this.signals.emit(name);
  }

  /** The visitor's answer: true lets everything be sent and stored, false clears what is stored. @param {boolean} isGiven */
  setConsent(isGiven) {
    if (!isGiven) {
      this.held = [];
      this.delivery.clear();
      this.storage.clear();
    }
    this.consent.remember(isGiven);
    if (!isGiven) return;
    this.storage.persist();
    this.held.splice(0).forEach((tracked) => this.deliver(tracked));
  }

  /** Take an execution back, and track it if it was still waiting for an element. @param {Execution} execution */
  end(execution) {
    execution.expire();
    execution.undo();
    this.executions.delete(execution.playbook.id);
  }

  /** Another page in the same document: as if it had been opened anew. */
  navigated() {
    this.watch.stop();
    this.executions.forEach((execution) => this.end(execution));
    this.signals.reset();
    this.session = openSession(this.storage, location.search, Date.now());
    this.evaluate();
  }

  leave() {
    this.executions.forEach((execution) => execution.expire());
    if (this.consent.isGiven() && this.list && this.list.tracking) this.delivery.leave();
  }
}
