/**
 * The banner, built by the DOM in a shadow root: the page's styles do not reach it, and its own need no permission of a
 * Content-Security-Policy.
 */
import { guard } from "./guard.js";
import { resolveUrl } from "./urls.js";

/** A banner at the top moves the page down; one at the bottom lies over it. */
const HOST = { display: "block", left: "0", right: "0", "z-index": "2147483000", color: "#fff", background: "#101828" };
const TOP = { position: "sticky", top: "0" }, BOTTOM = { position: "fixed", bottom: "0" };
const STYLES = `
  div { display: flex; align-items: center; gap: 12px; padding: 10px 16px; color: #fff; background: #101828;
    font: 15px/1.45 system-ui, sans-serif; }
  p { flex: 1; margin: 0; text-align: center; overflow-wrap: anywhere; }
  a { color: inherit; }
  button { min-width: 44px; min-height: 44px; margin: -8px -8px -8px 0; border: 0; border-radius: 8px; color: inherit;
    background: none; font: inherit; font-size: 22px; line-height: 1; cursor: pointer; }
  button:hover { background: #ffffff26; }
  a:focus-visible, button:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
  @media print { :host { display: none !important; } }`;

/** @param {string} name @param {string} [text] */
function create(name, text) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  return element;
}

/** @param {ShadowRoot} root */
function addStyles(root) {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLES);
    root.adoptedStyleSheets = [sheet];
  } catch {
    // A browser without constructable style sheets shows plain text on the colours of the host.
  }
}

/** @param {Record<string, any>} settings */
function createText(settings) {
  const paragraph = create("p");
  const url = settings.url ? resolveUrl(settings.url) : null;
  const text = create(url ? "a" : "span", String(settings.text));
  if (url) /** @type {HTMLAnchorElement} */ (text).href = url;
  paragraph.append(text);
  return paragraph;
}

/**
 * A banner that is not yet in the page.
 * @param {Record<string, any>} settings `position`, `text` and perhaps `url`.
 * @param {() => void} dismissed Called when the visitor closes it.
 * @returns {HTMLElement}
 */
export function createBanner(settings, dismissed) {
  const host = create("beckon-banner");
  const styles = { ...HOST, ...(settings.position === "bottom" ? BOTTOM : TOP) };
  Object.keys(styles).forEach((name) => host.style.setProperty(name, /** @type {any} */ (styles)[name]));
  host.setAttribute("role", "region");
  host.setAttribute("aria-label", "Announcement");
  const root = host.attachShadow({ mode: "open" });
  addStyles(root);
  const close = create("button", "\u00d7");
  close.setAttribute("aria-label", "Close");
  close.addEventListener("click", guard(dismissed));
  const box = create("div");
  box.append(createText(settings), close);
  root.append(box);
  return host;
}

/**
 * Put the banner beside the body: it needs no margins, flex rows or first children of it, and a framework that renders
 * the body does not meet it.
 * @param {HTMLElement} banner @param {Record<string, any>} settings
 */
export function insertBanner(banner, settings) {
  if (settings.position === "bottom") document.body.after(banner);
  else document.body.before(banner);
}
