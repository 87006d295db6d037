/**
 * The actions that change elements. Each has `isApplied`, `apply`, which answers how to take the change back, and
 * optionally `refuse`. None of them uses a sink of HTML or script: they work under a strict Content-Security-Policy and
 * under Trusted Types.
 */
import { refuseAttribute, refuseElement, refuseStyle } from "./safety.js";
import { resolveUrl } from "./urls.js";

/**
 * @typedef {Record<string, any>} Settings The fields of the action.
 * @typedef {object} ElementAction
 * @property {(settings: Settings) => string} [refuse] Why the action is refused, or an empty text.
 * @property {(element: Element) => string} [refuseFor] The same for one element.
 * @property {(element: any, settings: Settings) => boolean} isApplied
 * @property {(element: any, settings: Settings) => () => void} apply
 * @property {string[] | ((settings: Settings) => string[])} attributes What a framework may write over.
 * @property {string | ((settings: Settings) => string)} aspect What of an element it changes: of two changes of one
 *   aspect the later one stays.
 */

/** @param {unknown} value @returns {value is string} */
export const isText = (value) => typeof value === "string" && value !== "";

const IMPORTANT = /\s*!important\s*$/i;

/** @param {Element} element @param {string} name @param {string | null} value */
function writeAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** Set an attribute, and answer how to restore it. @param {Element} element @param {string} name @param {string | null} value */
function changeAttribute(element, name, value) {
  const before = element.getAttribute(name);
  writeAttribute(element, name, value);
  return () => {
    if (element.getAttribute(name) === value) writeAttribute(element, name, before);
  };
}

/** Set a style through the CSSOM, which needs no `unsafe-inline`. @param {any} element @param {string} property @param {string} text @param {string} [priority] */
function changeStyle(element, property, text, priority) {
  const value = text.replace(IMPORTANT, "");
  const { style } = element;
  const before = [style.getPropertyValue(property), style.getPropertyPriority(property)];
  style.setProperty(property, value, priority || (value === text ? "" : "important"));
  const applied = style.getPropertyValue(property);
  return () => {
    if (style.getPropertyValue(property) === applied) style.setProperty(property, before[0], before[1]);
  };
}

/** @param {Array<() => void>} undos */
const joinUndos = (undos) => () => undos.reverse().forEach((undo) => undo());

/** @param {Settings} settings @returns {Array<[string, string]>} */
const listStyles = (settings) => Object.keys(settings.style || {}).map((name) => [name, String(settings.style[name])]);

/** The value as this browser writes it, so that it can be compared. @param {any} element @param {string} property @param {string} text */
function hasStyle(element, property, text) {
  const probe = document.createElement("i").style;
  probe.setProperty(property, text.replace(IMPORTANT, ""));
  return element.style.getPropertyValue(property) === probe.getPropertyValue(property);
}

/** Why the style is refused: not allowed, or not understood by this browser. @param {string} name @param {string} value */
function refuseStyleValue(name, value) {
  const refusal = refuseStyle(name, value);
  if (refusal) return refusal;
  return CSS.supports(name, value.replace(IMPORTANT, "")) ? "" : `value of style ${name} is not valid`;
}

/** @param {Element} element */
const isImage = (element) => /^(img|input|source)$/i.test(element.localName);

/** @param {Element} element @param {string} url */
function changeImage(element, url) {
  if (!isImage(element)) return changeStyle(element, "background-image", `url("${url}")`);
  // A srcset, or a source of the picture around it, would win over src.
  const around = element.parentElement;
  const sources = around && around.localName === "picture" ? Array.from(around.querySelectorAll("source")) : [];
  const undos = sources.map((source) => changeAttribute(source, "srcset", url));
  if (element.hasAttribute("srcset")) undos.push(changeAttribute(element, "srcset", null));
  return joinUndos([...undos, changeAttribute(element, "src", url)]);
}

/** @param {any} element @param {string} property @param {string} value */
const computes = (element, property, value) => getComputedStyle(element).getPropertyValue(property) === value;

/** @param {any} element */
function reveal(element) {
  const undos = [changeAttribute(element, "hidden", null)];
  if (element.style.display === "none") undos.push(changeStyle(element, "display", ""));
  if (computes(element, "display", "none")) undos.push(changeStyle(element, "display", "revert", "important"));
  if (computes(element, "visibility", "hidden")) undos.push(changeStyle(element, "visibility", "visible", "important"));
  return joinUndos(undos);
}

/** @type {Record<string, ElementAction>} */
export const ELEMENT_ACTIONS = {
  replace_text: {
    attributes: [],
    aspect: "text",
    refuse: ({ text }) => (typeof text === "string" ? "" : "text is missing"),
    refuseFor: refuseElement,
    isApplied: (element, { text }) => element.textContent === text,
    apply(element, { text }) {
      const before = Array.from(element.childNodes);
      element.textContent = text;
      return () => {
        if (element.textContent === text) element.replaceChildren(...before);
      };
    },
  },
  replace_image: {
    attributes: ["src", "srcset", "style"],
    aspect: "src",
    refuse: ({ src }) => (resolveUrl(src) ? "" : "src needs an http or https address"),
    refuseFor: refuseElement,
    isApplied(element, { src }) {
      const url = resolveUrl(src) || "";
      return isImage(element)
        ? element.getAttribute("src") === url && !element.hasAttribute("srcset")
        : hasStyle(element, "background-image", `url("${url}")`);
    },
    apply: (element, { src }) => changeImage(element, resolveUrl(src) || ""),
  },
  set_attribute: {
    attributes: ({ name }) => [String(name)],
    aspect: ({ name }) => String(name).toLowerCase(),
    refuse: ({ name, value }) => refuseAttribute(name, value),
    refuseFor: refuseElement,
    isApplied: (element, { name, value }) => element.getAttribute(name) === String(value),
    apply: (element, { name, value }) => changeAttribute(element, name, String(value)),
  },
  set_style: {
    attributes: ["style"],
    aspect: ({ style }) => "style " + Object.keys(style || {}).sort(),
    refuse: (settings) => listStyles(settings).map(([name, value]) => refuseStyleValue(name, value)).find(Boolean) || "",
    isApplied: (element, settings) => listStyles(settings).every(([name, value]) => hasStyle(element, name, value)),
    apply: (element, settings) => joinUndos(listStyles(settings).map(([name, value]) => changeStyle(element, name, value))),
  },
  show: {
    attributes: ["style", "class", "hidden"],
    aspect: "display",
    isApplied: (element) => !computes(element, "display", "none") && !computes(element, "visibility", "hidden"),
    apply: reveal,
  },
  hide: {
    attributes: ["style"],
    aspect: "display",
    isApplied: (element) => element.style.getPropertyValue("display") === "none",
    apply: (element) => changeStyle(element, "display", "none", "important"),
  },
};
