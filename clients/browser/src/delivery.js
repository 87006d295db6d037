/**
 * Delivers tracked executions to the server, each under its own id, so that none is counted twice however often it is
 * sent. On a living page a request whose answer can be read: temporary faults are retried with growing delays. On a page
 * that is being left a beacon, else a request that outlives the page. What is not confirmed stays in storage and is sent
 * on the next page, or when the browser is online again.
 */
import { attempt, guard, listen, log, messageOf, warn } from "./guard.js";

/**
 * @typedef {{ id: string, body: string, at: number }} Item
 * @typedef {{ status: number, retryAfterMs: number, text: string }} Answer
 */

const MAX_ITEMS = 50, MAX_CHARACTERS = 250000;
const MAX_AGE_MS = 7 * 24 * 60 * 60 * 1000;
/** After so many temporary faults in a row the rest waits for the next page. */
const MAX_TRIES = 6;
const FIRST_DELAY_MS = 1000, MAX_DELAY_MS = 60 * 60 * 1000, REQUEST_TIMEOUT_MS = 30000;

/** The newest items that fit. @param {Item[]} items @returns {Item[]} */
function bound(items) {
  let characters = 0;
  const kept = items.slice(-MAX_ITEMS).reverse().filter((item) => (characters += item.body.length) <= MAX_CHARACTERS);
  return kept.reverse();
}

/** @param {any} item @returns {item is Item} */
const isItem = (item) => !!item && typeof item.id === "string" && typeof item.body === "string" && Date.now() - item.at < MAX_AGE_MS;

/** The time that `Retry-After` asks for, in milliseconds. @param {string | null} header */
function parseRetryAfter(header) {
  if (!header) return 0;
  const milliseconds = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Math.min(Math.max(milliseconds || 0, 0), MAX_DELAY_MS);
}

export class Delivery {
  /** @param {string} url @param {import("./storage.js").VisitorStorage} storage */
  constructor(url, storage) {
    this.url = url;
    this.storage = storage;
    /** @type {Item[]} */
    this.items = [];
    this.isOpen = false;
    this.isSending = false;
    this.tries = 0;
    this.notBefore = 0;
    listen(window, "online", () => this.resume());
    listen(window, "pageshow", () => this.resume());
  }

  /** Begin to send: what an earlier page has left first. */
  open() {
    this.isOpen = true;
    const known = this.items.map((item) => item.id);
    this.items = [...this.readStored().filter((item) => !known.includes(item.id)), ...this.items];
    this.next();
  }

  /** @returns {Item[]} */
  readStored() {
    const stored = this.storage.read("queue");
    return Array.isArray(stored) ? stored.filter(isItem) : [];
  }

  /** Keep an execution until it is confirmed, and send it when the page has time. @param {string} id @param {string} body */
  add(id, body) {
    const item = { id, body, at: Date.now() };
    this.items = bound([...this.items, item]);
    this.storage.write("queue", bound([...this.readStored(), item]));
    setTimeout(guard(() => this.next()), 0);
  }

  /** @param {Item} item */
  remove(item) {
    this.items = this.items.filter(({ id }) => id !== item.id);
    this.storage.write("queue", this.readStored().filter(({ id }) => id !== item.id));
  }

  /** Forget everything that is not sent. */
  clear() {
    this.items = [];
    this.storage.write("queue", []);
  }

  resume() {
    this.tries = 0;
    this.next();
  }

  next() {
    const [item] = this.items;
    const isReady = this.isOpen && !this.isSending && this.tries < MAX_TRIES;
    if (!item || !isReady || Date.now() < this.notBefore) return;
    this.isSending = true;
    this.send(item).then(
      guard((response) => this.answered(item, response)),
      guard((error) => this.retry(messageOf(error), 0)),
    );
  }

  /** @param {Item} item @returns {Promise<Answer>} */
  async send(item) {
    const abort = attempt(() => new AbortController(), null);
    const timer = setTimeout(() => abort && abort.abort(), REQUEST_TIMEOUT_MS);
    try {
      const response = await this.post(item, abort ? abort.signal : undefined);
      const retryAfterMs = parseRetryAfter(response.headers.get("Retry-After"));
      return { status: response.status, retryAfterMs, text: await response.text() };
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {Item} item @param {AbortSignal} [signal] */
  post(item, signal) {
    return fetch(this.url, { method: "POST", body: item.body, keepalive: true, credentials: "omit", signal });
  }

  /** @param {Item} item @param {Answer} answer */
  answered(item, { status, retryAfterMs, text }) {
    if (status === 429 || status >= 500) return this.retry("status " + status, retryAfterMs);
    this.isSending = false;
    this.tries = 0;
    this.remove(item);
    if (status < 300) this.confirm(item, text);
    else warn("execution was refused: status " + status);
    this.next();
  }

  /** @param {Item} item @param {string} text */
  confirm(item, text) {
    const body = attempt(() => JSON.parse(text), null) || {};
    if (body.tracked !== false) log("✅ Execution tracked successfully: " + (body.executionId || item.id));
  }

  /** @param {string} problem @param {number} askedMs */
  retry(problem, askedMs) {
    warn("execution could not be sent yet: " + problem);
    this.isSending = false;
    const delay = FIRST_DELAY_MS * 2 ** this.tries++ * (0.75 + Math.random() / 2);
    this.notBefore = Date.now() + Math.max(delay, askedMs);
    setTimeout(guard(() => this.next()), Math.max(delay, askedMs) + 1);
  }

  /** Hand everything that is waiting to the browser, because the page is being left. */
  leave() {
    if (this.isOpen) this.items.slice(this.isSending ? 1 : 0).forEach((item) => this.sendBeacon(item));
  }

  /** @param {Item} item */
  sendBeacon(item) {
    const isQueued = attempt(() => navigator.sendBeacon(this.url, item.body), false);
    if (!isQueued) attempt(() => void this.post(item).catch(() => undefined), undefined);
  }
}
