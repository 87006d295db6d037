/** The active playbooks of the site: read from the server, with a copy in storage so that the next page need not wait. */
import { attempt, messageOf, warn } from "./guard.js";

/** @typedef {import("./types").Playbook} Playbook */
/** @typedef {import("./types").PlaybookList} PlaybookList */

/** The copy is used for a day at most. */
const MAX_AGE_MS = 24 * 60 * 60 * 1000;
const RETRY_MS = [2000, 10000, 60000];
const MAX_PLAYBOOKS = 200, MAX_ACTIONS = 100;

/** A field of the record itself, never one that a page has added to Object.prototype. @param {any} record @param {string} name */
const own = (record, name) =>
  record && typeof record === "object" && Object.prototype.hasOwnProperty.call(record, name) ? record[name] : undefined;

/** @param {any} record @param {string} name @param {string} type */
const ownOf = (record, name, type) => (typeof own(record, name) === type ? own(record, name) : undefined);

/** @param {any} record @param {string} name @returns {any[]} */
const ownList = (record, name) => (Array.isArray(own(record, name)) ? own(record, name) : []);

/** @param {any} record @returns {Record<string, string> | undefined} */
function parseUtm(record) {
  if (!record) return undefined;
  const utm = Object.create(null);
  Object.keys(record).forEach((name) => (utm[name] = String(record[name])));
  return utm;
}

/** @param {any} record @returns {import("./types").Trigger} */
function parseTrigger(record) {
  const trigger = {
    url: ownOf(record, "url", "string"),
    device: own(record, "device") && ownList(record, "device"),
    utm: parseUtm(ownOf(record, "utm", "object")),
    scrollDepth: ownOf(record, "scrollDepth", "number"),
    timeOnPageMs: ownOf(record, "timeOnPageMs", "number"),
    exitIntent: own(record, "exitIntent") === true || undefined,
    returning: ownOf(record, "returning", "boolean"),
    event: ownOf(record, "event", "string"),
  };
  return Object.assign(Object.create(null), trigger);
}

/** @param {any} record @returns {import("./types").Frequency | undefined} */
function parseFrequency(record) {
  const max = ownOf(record, "max", "number");
  return max === undefined ? undefined : { max, perMs: ownOf(record, "perMs", "number") };
}

/** @param {any} record @returns {import("./types").Action} */
function parseAction(record) {
  const settings = Object.assign(Object.create(null), ownOf(record, "with", "object"));
  const action = String(own(record, "action"));
  return { id: String(own(record, "id")), action, name: String(own(record, "name") || action), with: settings };
}

/** @param {any} record @returns {Playbook} */
function parsePlaybook(record) {
  return {
    id: String(own(record, "id")),
    name: String(own(record, "name")),
    version: Number(own(record, "version")) || 0,
    trigger: parseTrigger(own(record, "trigger")),
    frequency: parseFrequency(own(record, "frequency")),
    actions: ownList(record, "actions").slice(0, MAX_ACTIONS).map(parseAction),
  };
}

/** The list, with only the fields that are known and of the right type; null if it is none. @param {any} body @returns {PlaybookList | null} */
export function parsePlaybookList(body) {
  if (!Array.isArray(own(body, "playbooks"))) return null;
  const records = ownList(body, "playbooks").filter((record) => own(record, "id"));
  return { tracking: own(body, "tracking") !== false, playbooks: records.slice(0, MAX_PLAYBOOKS).map(parsePlaybook) };
}

export class PlaybookSource {
  /** @param {string} url @param {import("./storage.js").VisitorStorage} storage */
  constructor(url, storage) {
    this.url = url;
    this.storage = storage;
  }

  /** The copy in storage, or null. @returns {PlaybookList | null} */
  readCopy() {
    const copy = this.storage.read("playbooks");
    const age = Date.now() - own(copy, "at");
    return age >= 0 && age < MAX_AGE_MS ? parsePlaybookList(own(copy, "body")) : null;
  }

  /**
   * Read the list from the server, again after temporary faults.
   * @param {(list: PlaybookList | null) => void} received Called once; null if the server cannot be reached.
   * @param {number} [tries]
   */
  load(received, tries = 0) {
    this.request().then(received, (error) => {
      warn("playbooks could not be loaded: " + messageOf(error));
      if (error && error.isFinal) return this.refused(received);
      if (tries === 0) received(null);
      if (tries < RETRY_MS.length) setTimeout(() => this.load((list) => list && received(list), tries + 1), RETRY_MS[tries]);
    });
  }

  /** The key is no longer valid for this site: nothing of it is executed. @param {(list: PlaybookList) => void} received */
  refused(received) {
    this.storage.write("playbooks", null);
    received({ tracking: false, playbooks: [] });
  }

  /** @returns {Promise<PlaybookList>} */
  async request() {
    const response = await fetch(this.url, { credentials: "omit" });
    const text = await response.text();
    if (!response.ok) {
      throw Object.assign(new Error("status " + response.status), { isFinal: response.status < 500 && response.status !== 429 });
    }
    const body = attempt(() => JSON.parse(text), null);
    const list = parsePlaybookList(body);
    if (!list) throw Object.assign(new Error("the answer has no playbooks"), { isFinal: true });
    this.storage.write("playbooks", { at: Date.now(), body });
    return list;
  }
}
