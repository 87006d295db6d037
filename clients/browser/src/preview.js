/**
 * The preview of a draft on the operator's own page, loaded instead of the playbooks where the page was opened with
 * `?beckon_preview=`. Nothing is drawn, applied or asked of the server before the editor has answered; nothing is
 * tracked or stored.
 */
import { detectDevice, now } from "./environment.js";
import { attempt, guard, messageOf } from "./guard.js";
import { PageWatch } from "./page-watch.js";
import { parsePlaybookList } from "./playbook-list.js";
import { Channel, readStatement } from "./preview-channel.js";
import { findChanged, PreviewChanges } from "./preview-changes.js";
import { Overlay } from "./preview-overlay.js";
import { describePick, Picker } from "./preview-picker.js";
import { join } from "./preview-selector.js";
import { Signals } from "./signals.js";
import { evaluateConditions } from "./triggers.js";

const PARAMETER = "beckon_preview";
const UTM = ["source", "medium", "campaign", "term", "content"];
const DEVICES = ["desktop", "mobile", "tablet"];
const REPORT_MS = 500, MAX_OUTLINES = 60;
/** How long a token is valid. It is measured here, because this clock may differ from the server's. */
const LIFETIME_MS = 600000;

/** @param {number} matches */
const count = (matches) => `${matches} ${matches === 1 ? "match" : "matches"}`;

/** @param {Element} element @param {string} label @param {import("./preview-overlay.js").Outline["kind"]} kind */
const outlineOf = (element, label, kind) => ({ element, label, kind });

class Preview {
  /** @param {Channel} channel @param {string} token @param {import("./preview-channel.js").Statement} statement */
  constructor(channel, token, statement) {
    this.channel = channel;
    this.token = token;
    this.statement = statement;
    this.signedAt = now();
    /** @type {import("./types").Playbook | null} */
    this.playbook = null;
    this.isAfter = true;
    this.isStarted = false;
    this.selected = "";
    /** The selector of the selected action, which may not be complete enough to be applied. */
    this.selector = "";
    this.error = "";
    this.lastReport = "";
    /** @type {Set<string>} Conditions that the operator takes to hold. */
    this.assumed = new Set();
    this.device = detectDevice();
    this.changes = new PreviewChanges();
    this.signals = new Signals(() => this.report());
    this.watch = new PageWatch(() => this.pageChanged());
  }

  /** Wait for the editor. */
  begin() {
    this.channel.receive({
      hello: () => this.start(),
      ping: () => this.channel.send("pong"),
      changed: () => this.isStarted && this.load(),
      token: ({ token }) => typeof token === "string" && this.renew(token),
      pick: () => this.isStarted && this.pick(),
      key: ({ key }) => this.picker && this.picker.take(String(key)),
      select: ({ id, selector }) => this.select(String(id), typeof selector === "string" ? selector : ""),
      after: ({ value }) => this.show(value === true),
      assume: ({ name, value }) => this.assume(String(name), value === true),
      device: ({ name }) => this.simulate(String(name)),
    });
    this.channel.send("ready");
  }

  start() {
    if (this.isStarted) return;
    this.isStarted = true;
    this.overlay = new Overlay();
    this.picker = new Picker(this.overlay, {
      moved: (element) => this.pointed(element),
      chosen: (element) => this.channel.send("picked", describePick(element)),
      ended: () => this.ended(),
    });
    this.before = this.overlay.addButton("Before", () => this.show(false));
    this.after = this.overlay.addButton("After", () => this.show(true));
    this.choose = this.overlay.addButton("Choose", () => this.picker && this.picker.choose());
    this.parent = this.overlay.addButton("Parent", () => this.picker && this.picker.climb());
    this.cancel = this.overlay.addButton("Cancel", () => this.picker && this.picker.stop());
    setInterval(guard(() => this.tick()), REPORT_MS);
    this.load();
  }

  /** Read the draft. Only the newest request counts. */
  async load() {
    const { origin } = this.channel;
    const request = (this.request = {});
    try {
      const query = `k=${encodeURIComponent(this.statement.k)}&token=${encodeURIComponent(this.token)}`;
      const response = await fetch(`${origin}/api/playbooks/preview?${query}`, { credentials: "omit" });
      const list = response.ok ? parsePlaybookList(await response.json()) : null;
      if (request !== this.request) return;
      if (response.status === 403) return this.refused();
      if (!list || !list.playbooks.length) throw new Error(`status ${response.status}`);
      this.error = "";
      this.playbook = list.playbooks[0];
    } catch (error) {
      this.error = messageOf(error);
    }
    this.show(this.isAfter);
  }

  /** The token has expired: the page is as it was until the editor sends another. */
  refused() {
    this.playbook = null;
    this.error = "expired";
    this.show(this.isAfter);
    this.channel.send("expired");
  }

  /** @param {string} token */
  renew(token) {
    const statement = readStatement(token);
    if (!statement || statement.n !== this.statement.n) return;
    this.token = token;
    this.statement = statement;
    this.signedAt = now();
    if (this.isStarted && this.error) this.load();
    this.describe();
  }

  /** Show the page with the draft's changes, or without. @param {boolean} isAfter */
  show(isAfter) {
    this.isAfter = isAfter;
    this.watch.stop();
    this.changes.apply(this.playbook ? this.playbook.actions : []);
    if (!isAfter) this.changes.undo();
    this.watch.start(join(this.changes.changes.map(({ attributes }) => attributes)));
    this.outline();
    this.describe();
    this.report();
  }

  pageChanged() {
    this.changes.check();
    this.outline();
  }

  /** @param {string} id @param {string} selector */
  select(id, selector) {
    const isOther = id !== this.selected;
    this.selected = id;
    this.selector = selector;
    this.outline();
    this.report();
    const [element] = this.isStarted && isOther ? this.findSelected() : [];
    if (element) attempt(() => element.scrollIntoView({ block: "nearest" }), undefined);
  }

  /** What the selected action is about, also where it is not complete. @returns {Element[]} */
  findSelected() {
    const action = this.playbook && this.playbook.actions.find(({ id }) => id === this.selected);
    if (action) return findChanged(action);
    return attempt(() => (this.selector ? Array.from(document.querySelectorAll(this.selector)) : []), []);
  }

  /** Outline what the actions change; the selected action last, above the others. */
  outline() {
    if (!this.overlay || (this.picker && this.picker.isActive)) return;
    const actions = this.playbook && this.isAfter ? this.playbook.actions.filter(({ id }) => id !== this.selected) : [];
    const others = join(actions.map((action) => findChanged(action).map((element, index) => outlineOf(element, index ? "" : action.name, ""))));
    const selected = this.findSelected();
    const label = `${this.selector || "Selected"} · ${count(selected.length)}`;
    const outlines = [...others, ...selected.map((element, index) => outlineOf(element, index ? "" : label, "selected"))];
    this.overlay.show(outlines.slice(-MAX_OUTLINES));
  }

  pick() {
    if (!this.picker) return;
    this.picker.start();
    this.describe();
  }

  /** @param {Element} element */
  pointed(element) {
    const pick = describePick(element);
    if (this.overlay) this.overlay.show([outlineOf(element, `${pick.selector} · ${count(pick.matches)}`, "picked")]);
    this.channel.send("picking", { ...pick });
  }

  ended() {
    this.channel.send("ended");
    this.outline();
    this.describe();
  }

  /** @param {string} name @param {boolean} value */
  assume(name, value) {
    if (value) this.assumed.add(name);
    else this.assumed.delete(name);
    this.report();
  }

  /** @param {string} name */
  simulate(name) {
    const device = DEVICES.includes(name) ? /** @type {import("./types").Device} */ (name) : detectDevice();
    this.device = device;
    this.report();
  }

  /** The simulated visit: a first one, on this page, with the device that the editor shows. @returns {import("./types").PageView} */
  get view() {
    const query = new URLSearchParams(location.search);
    const utm = UTM.reduce((all, name) => ({ ...all, [name]: query.get(`utm_${name}`) || "" }), {});
    const { scrollDepth, timeOnPageMs, exitIntent, events } = this.signals;
    return { url: location.href, device: this.device, utm, returning: false, scrollDepth, timeOnPageMs, exitIntent, events };
  }

  /** Tell the editor what holds and what the actions did, where that has changed. */
  report() {
    if (!this.isStarted || !this.playbook) return;
    const { view } = this;
    const conditions = Object.entries(evaluateConditions(this.playbook.trigger, view)).map(([name, holds]) => {
      return { name, holds: !!holds, assumed: this.assumed.has(name) };
    });
    const visit = { scrollDepth: Math.round(view.scrollDepth), seconds: Math.floor(view.timeOnPageMs / 1000) };
    const selected = { id: this.selected, matches: this.selector ? this.findSelected().length : null };
    const report = { conditions, visit, selected, actions: this.changes.outcomes, after: this.isAfter };
    const text = JSON.stringify(report);
    if (text === this.lastReport) return;
    this.lastReport = text;
    this.channel.send("report", report);
  }

  get leftMs() {
    return LIFETIME_MS - (now() - this.signedAt);
  }

  tick() {
    if (this.leftMs <= 0 && this.playbook) this.refused();
    if (this.overlay) this.overlay.place();
    this.report();
  }

  /** The bar: that this is a preview, of what, until when, and what the keys do. */
  describe() {
    if (!this.overlay || !this.before || !this.after || !this.choose || !this.parent || !this.cancel) return;
    const isPicking = !!this.picker && this.picker.isActive;
    const until = new Date(Date.now() + this.leftMs).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const name = this.playbook ? ` of “${this.playbook.name}”` : "";
    const texts = this.error === "expired" ? ["Preview expired", " · Open it again from the editor"]
      : this.error ? ["Preview not loaded", ` · ${this.error}`]
      : isPicking ? ["Pick an element", " · ↑ parent, ↵ choose, Esc end"]
      : [`Preview${name}`, ` · until ${until} · Nothing is tracked`];
    this.overlay.say(texts[0], texts[1]);
    this.before.setAttribute("aria-pressed", String(!this.isAfter));
    this.after.setAttribute("aria-pressed", String(this.isAfter));
    this.before.hidden = this.after.hidden = isPicking || !!this.error;
    this.choose.hidden = this.parent.hidden = this.cancel.hidden = !isPicking;
  }
}

/** The token of the address, which is taken out of it: other scripts of the page and reloads don't see it. */
function takeToken() {
  const url = new URL(location.href);
  const token = url.searchParams.get(PARAMETER) || "";
  url.searchParams.delete(PARAMETER);
  attempt(() => history.replaceState(history.state, "", url.href), undefined);
  return token;
}

guard(() => {
  const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  const peer = window.opener || (window.parent === window ? null : window.parent);
  const token = takeToken();
  const statement = readStatement(token);
  if (script && peer && statement) new Preview(new Channel(peer, new URL(script.src).origin, statement.n), token, statement).begin();
})();
