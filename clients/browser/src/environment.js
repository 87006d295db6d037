/** What the browser says about itself, each answer with a fallback for browsers that lack it. */
import { attempt } from "./guard.js";

/** A UUID (version 7: it begins with the present time), also where the page has no `crypto`. @returns {string} */
export function createId() {
  const bytes = new Uint8Array(16);
  try {
    crypto.getRandomValues(bytes);
  } catch {
    bytes.forEach((_, index) => (bytes[index] = Math.random() * 256));
  }
  const time = Date.now();
  for (let index = 0; index < 6; index++) bytes[index] = time / 2 ** (40 - 8 * index);
  bytes[6] = (bytes[6] & 15) | 112;
  bytes[8] = (bytes[8] & 63) | 128;
  const digits = Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Milliseconds that only increase, for durations. @returns {number} */
export function now() {
  return attempt(() => performance.now(), Date.now());
}

/** Whether the visitor sends Do Not Track or Global Privacy Control. @returns {boolean} */
export function hasPrivacySignal() {
  return attempt(() => {
    const { doNotTrack, globalPrivacyControl } = /** @type {any} */ (navigator);
    const signal = doNotTrack || /** @type {any} */ (window).doNotTrack;
    return signal === "1" || signal === "yes" || globalPrivacyControl === true;
  }, true);
}

/** The kind of device: by what the browser calls itself, else by its screen. @returns {import("./types").Device} */
export function detectDevice() {
  return attempt(() => {
    const { userAgent = "", maxTouchPoints = 0 } = navigator;
    // An iPad calls itself a Macintosh; no Macintosh has a touch screen.
    const isTouchMac = /Macintosh/.test(userAgent) && maxTouchPoints > 1;
    if (isTouchMac || /iPad|Tablet|PlayBook|Silk|Kindle|Android(?!.*Mobile)/i.test(userAgent)) return "tablet";
    if (/Mobi|iPhone|iPod|Opera Mini|IEMobile/i.test(userAgent)) return "mobile";
    return screen.width > 0 && screen.width < 600 ? "mobile" : "desktop";
  }, /** @type {import("./types").Device} */ ("desktop"));
}
