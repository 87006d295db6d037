/**
 * What the preview draws over the page: outlines with labels, and the bar that says that this is a preview. It lives in
 * a shadow root with its own style sheet: the page's styles do not reach it, and a strict Content-Security-Policy allows it.
 */
import { attempt, guard, listen } from "./guard.js";

const HOST = {
  all: "initial", position: "fixed", inset: "0", "z-index": "2147483647", "pointer-events": "none", display: "block",
};
const STYLES = `
  * { box-sizing: border-box; }
  .box { position: fixed; border: 1.5px dashed #8aa4ff; border-radius: 3px; }
  .box.selected, .box.picked { border: 2px solid #3b5bdb; background: #3b5bdb14; }
  .label { position: absolute; left: -2px; bottom: 100%; max-width: 320px; padding: 2px 8px; border-radius: 4px;
    overflow: hidden; text-overflow: ellipsis; white-space: nowrap; background: #edf1ff; color: #3b5bdb;
    font: 600 12px/1.5 system-ui, sans-serif; }
  .below .label { bottom: auto; top: 100%; }
  .selected .label, .picked .label { background: #3b5bdb; color: #fff; }
  .bar { position: fixed; left: 50%; bottom: 12px; transform: translateX(-50%); display: flex; flex-wrap: wrap; gap: 4px 12px;
    align-items: center; width: max-content; max-width: calc(100% - 24px); padding: 8px 14px; border-radius: 12px;
    background: #101828; color: #e6eaf0; font: 13px/1.45 system-ui, sans-serif; pointer-events: auto;
    box-shadow: 0 8px 24px #10182855; }
  .bar strong { color: #fff; }
  button { min-height: 32px; padding: 3px 10px; border: 1px solid #5d6979; border-radius: 8px; background: none;
    color: inherit; font: inherit; font-weight: 600; cursor: pointer; }
  button[aria-pressed="true"] { background: #e6eaf0; color: #101828; }
  button:focus-visible { outline: 2px solid #8aa4ff; outline-offset: 2px; }
  [hidden] { display: none; }
  @media print { :host { display: none !important; } }`;

/** @typedef {{ element: Element, label: string, kind: "" | "selected" | "picked" }} Outline */

/** @param {string} name @param {string} [text] */
function create(name, text) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  return element;
}

/** @param {HTMLElement} element @param {Record<string, string>} styles */
function setStyles(element, styles) {
  Object.keys(styles).forEach((name) => element.style.setProperty(name, styles[name]));
}

export class Overlay {
  constructor() {
    this.host = create("beckon-preview");
    setStyles(this.host, HOST);
    const root = this.host.attachShadow({ mode: "closed" });
    attempt(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLES);
      root.adoptedStyleSheets = [sheet];
    }, undefined);
    this.boxes = create("div");
    this.bar = create("div");
    this.bar.className = "bar";
    this.bar.setAttribute("role", "region");
    this.bar.setAttribute("aria-label", "Beckon preview");
    this.text = create("span");
    this.text.setAttribute("role", "status");
    this.bar.append(this.text);
    root.append(this.boxes, this.bar);
    /** @type {Outline[]} */
    this.outlines = [];
    document.documentElement.append(this.host);
    ["scroll", "resize"].forEach((type) => listen(window, type, () => this.place()));
  }

  /** Whether an event happened on the bar. @param {Event} event */
  has(event) {
    return event.composedPath().includes(this.host);
  }

  /** The line of the bar. @param {string} name @param {string} text */
  say(name, text) {
    const strong = create("strong", name);
    this.text.replaceChildren(strong, text);
  }

  /** A button of the bar. @param {string} text @param {() => void} pressed @returns {HTMLElement} */
  addButton(text, pressed) {
    const button = create("button", text);
    button.addEventListener("click", guard(pressed));
    this.bar.append(button);
    return button;
  }

  /** @param {Outline[]} outlines */
  show(outlines) {
    this.outlines = outlines;
    this.boxes.replaceChildren(...outlines.map(({ label, kind }) => {
      const box = create("div");
      box.className = `box ${kind}`;
      if (label) {
        const text = create("span", label);
        text.className = "label";
        box.append(text);
      }
      return box;
    }));
    this.place();
  }

  /** Put every box where its element is now. */
  place() {
    this.outlines.forEach(({ element }, index) => {
      const box = /** @type {HTMLElement} */ (this.boxes.children[index]);
      const { left, top, width, height } = element.getBoundingClientRect();
      box.hidden = !element.isConnected || (width === 0 && height === 0);
      setStyles(box, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
      box.classList.toggle("below", top < 26);
    });
  }
}
