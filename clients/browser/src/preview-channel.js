/**
 * Messages between the editor and the page that it previews. Only the window that opened this one is heard, only from
 * Beckon's own origin, and only with the nonce of the token. What comes is compared with known words and never executed.
 */
import { attempt, listen } from "./guard.js";

/** @typedef {{ k: string, n: string }} Statement Site key and nonce. */

/** What the token states; only the server can verify it. Null if it is none. @param {string} token @returns {Statement | null} */
export function readStatement(token) {
  return attempt(() => {
    const text = token.split(".")[0].replace(/-/g, "+").replace(/_/g, "/");
    const { k, n } = JSON.parse(atob(text));
    return typeof k === "string" && typeof n === "string" && n ? { k, n } : null;
  }, null);
}

export class Channel {
  /** @param {Window} peer @param {string} origin @param {string} nonce */
  constructor(peer, origin, nonce) {
    this.peer = peer;
    this.origin = origin;
    this.nonce = nonce;
  }

  /** Tell the editor something. @param {string} type @param {Record<string, unknown>} [fields] */
  send(type, fields) {
    attempt(() => this.peer.postMessage({ ...fields, beckon: "preview", nonce: this.nonce, type }, this.origin), undefined);
  }

  /** Hear the editor. @param {Record<string, (message: Record<string, unknown>) => void>} handlers By the type of message. */
  receive(handlers) {
    listen(window, "message", ({ source, origin, data }) => {
      if (source !== this.peer || origin !== this.origin) return;
      if (!data || data.beckon !== "editor" || data.nonce !== this.nonce) return;
      if (Object.prototype.hasOwnProperty.call(handlers, data.type)) handlers[data.type](data);
    });
  }
}
