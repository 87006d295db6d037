/** The visitor's session: its id, the UTM parameters of its landing page, and whether the visitor was here before. */
import { createId } from "./environment.js";

/** @typedef {import("./types").Session} Session */

/** A session ends when no page was opened for so long. */
const IDLE_MS = 30 * 60 * 1000;
const UTM_NAMES = ["source", "medium", "campaign", "term", "content"];

/** The UTM parameters of a query, without their prefix. @param {string} search @returns {Record<string, string>} */
export function parseUtm(search) {
  const query = new URLSearchParams(search);
  const utm = /** @type {Record<string, string>} */ ({});
  UTM_NAMES.forEach((name) => {
    const value = query.get("utm_" + name);
    if (value) utm[name] = value.slice(0, 200);
  });
  return utm;
}

/** @param {any} session @param {number} at @returns {session is Session} */
function isCurrent(session, at) {
  return !!session && typeof session.id === "string" && Math.abs(at - session.at) < IDLE_MS && !!session.utm;
}

/**
 * Continue the session, or begin one.
 * @param {import("./storage.js").VisitorStorage} storage @param {string} search @param {number} at
 * @returns {Session}
 */
export function openSession(storage, search, at) {
  const previous = storage.read("session");
  const wasHere = storage.read("visited") === true;
  const session = isCurrent(previous, at) ? previous : { id: createId(), at, utm: {}, returning: wasHere };
  const utm = parseUtm(search);
  // Another campaign's link begins the landing anew.
  const current = { ...session, at, utm: Object.keys(utm).length ? utm : session.utm };
  storage.write("session", current);
  storage.write("visited", true);
  return current;
}
