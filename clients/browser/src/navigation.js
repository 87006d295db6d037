/** Navigation within one document, as single-page applications do it. */
import { attempt, guard, listen } from "./guard.js";

/** What makes a page another page: origin, path, and a hash that serves as a path. @returns {string} */
function identifyPage() {
  const { origin, pathname, hash } = location;
  return origin + pathname + (/^#!?\//.test(hash) ? hash : "");
}

/** @param {"pushState" | "replaceState"} method @param {() => void} call */
function callAfter(method, call) {
  const original = history[method];
  /** @this {History} @param {Parameters<History["pushState"]>} args */
  history[method] = function (...args) {
    original.apply(this, args);
    call();
  };
}

/** Call after every navigation to another page, and when a page comes back from the browser's cache. @param {() => void} navigated */
export function onNavigation(navigated) {
  let page = identifyPage();
  const check = guard(() => {
    const current = identifyPage();
    if (current === page) return;
    page = current;
    navigated();
  });
  attempt(() => callAfter("pushState", check), undefined);
  attempt(() => callAfter("replaceState", check), undefined);
  listen(window, "popstate", check);
  listen(window, "hashchange", check);
  listen(window, "pageshow", (event) => event.persisted && navigated());
}
