/** Redirects, which never lead to the page itself and never go round in circles. */
import { attempt } from "./guard.js";
import { resolveUrl } from "./urls.js";

/** More redirects of one visitor in so short a time are a circle. */
const MAX_REDIRECTS = 3, PERIOD_MS = 10000;

/** @param {string} url */
const withoutHash = (url) => url.split("#")[0];

/** Why the visitor stays, or an empty text. @param {string} url @param {import("./storage.js").VisitorStorage} storage */
function refuseRedirect(url, storage) {
  if (withoutHash(url) === withoutHash(location.href)) return "this is the page that the redirect leads to";
  // Where nothing may be stored, only the page before is known.
  if (!storage.isPermitted()) return withoutHash(url) === document.referrer ? "the redirect leads back" : "";
  const at = Date.now();
  const previous = storage.read("redirects");
  const recent = Array.isArray(previous) ? previous.filter((time) => at - time < PERIOD_MS) : [];
  if (recent.length >= MAX_REDIRECTS) return "redirects go round in a circle";
  storage.write("redirects", [...recent, at]);
  return "";
}

/**
 * The address to go to.
 * @param {unknown} url @param {import("./storage.js").VisitorStorage} storage
 * @returns {{ url: string, error?: string }}
 */
export function prepareRedirect(url, storage) {
  const target = resolveUrl(url) || "";
  const error = target ? refuseRedirect(target, storage) : "url needs an http or https address";
  return error ? { url: "", error } : { url: target };
}

/** Leave, without keeping the page in the history: Back must not lead here again. @param {string} url */
export function leaveFor(url) {
  attempt(() => location.replace(url), undefined);
}
