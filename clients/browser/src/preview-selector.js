/**
 * A selector for an element that a person has picked: short, and still right after the next release of the page. It is
 * built of what authors write (ids, data attributes, classes), not of what tools generate, and of positions only where
 * nothing else tells the element from its siblings.
 */
import { attempt } from "./guard.js";

/** Attributes that authors set to name an element, the best first. */
const NAMING_ATTRIBUTES = [
  "data-testid", "data-test-id", "data-test", "data-qa", "data-cy", "data-section", "data-component", "data-name", "name",
];
/** Names of tools: React, Radix, Headless UI, Ember, jQuery UI, styled-components, Emotion, Angular, Svelte, Vue. */
const GENERATED_PREFIX = /^(:r|radix-|headlessui-|ember|ui-id-|react-|mui-|sc-|css-|jss|svelte-|ng-|_ng|v-|yui_|ext-gen|mat-)/i;
const MAX_NAME = 40, MAX_DEPTH = 12;

/** Whether a part of a name looks like a hash: letters and digits mixed, or case that changes as in no word. @param {string} part */
function isHash(part) {
  if (part.length < 5) return false;
  return (/\d/.test(part) && /[a-z]/i.test(part) && !/^[a-z]+\d{1,2}$/i.test(part)) || /[a-z][A-Z]+[a-z]*[A-Z]/.test(part);
}

/** Whether a person wrote this name. @param {string} name */
export function isStable(name) {
  if (!name || name.length > MAX_NAME || GENERATED_PREFIX.test(name) || /\d{3}/.test(name)) return false;
  return /^-?[_a-z][\w-]*$/i.test(name) && !name.split(/[-_]+/).some(isHash);
}

/** @param {string} selector */
const count = (selector) => attempt(() => document.querySelectorAll(selector).length, 0);

/** @template T @param {T[][]} lists @returns {T[]} */
export const join = (lists) => lists.reduce((all, list) => all.concat(list), /** @type {T[]} */ ([]));

/** @param {Element} element */
const tagOf = (element) => CSS.escape(element.localName);

/** Selectors of the element itself, the best first. @param {Element} element @returns {string[]} */
function listOwn(element) {
  const tag = tagOf(element);
  const ids = isStable(element.id) ? [`#${CSS.escape(element.id)}`] : [];
  const attributes = NAMING_ATTRIBUTES.filter((name) => isStable(element.getAttribute(name) || ""));
  const classes = Array.from(element.classList).filter(isStable).map((name) => `.${CSS.escape(name)}`);
  const pairs = classes.map((first, index) => classes.slice(index + 1).map((second) => tag + first + second));
  return [
    ...ids,
    ...attributes.map((name) => `${tag}[${name}="${CSS.escape(element.getAttribute(name) || "")}"]`),
    ...classes.map((name) => tag + name),
    ...join(pairs).slice(0, 20),
    tag,
  ];
}

/** The position among the siblings of its kind. @param {Element} element */
function placeOf(element) {
  const siblings = Array.from(element.parentElement ? element.parentElement.children : []);
  const alike = siblings.filter(({ localName }) => localName === element.localName);
  return alike.length < 2 ? tagOf(element) : `${tagOf(element)}:nth-of-type(${alike.indexOf(element) + 1})`;
}

/** @param {Element} element @returns {Element[]} */
export function listAncestors(element) {
  const ancestors = [];
  for (let parent = element.parentElement; parent && ancestors.length < MAX_DEPTH; parent = parent.parentElement) {
    if (parent !== document.documentElement) ancestors.push(parent);
  }
  return ancestors;
}

/** The shortest selector that matches this element alone. @param {Element} element @returns {string} */
export function buildSelector(element) {
  const own = listOwn(element);
  const alone = own.find((selector) => count(selector) === 1);
  if (alone) return alone;
  for (const ancestor of listAncestors(element)) {
    const anchor = listOwn(ancestor).find((selector) => count(selector) === 1);
    const within = anchor && own.map((selector) => `${anchor} ${selector}`).find((selector) => count(selector) === 1);
    if (within) return within;
  }
  return buildPath(element);
}

/** Positions below the nearest element that has a selector of its own. @param {Element} element @returns {string} */
function buildPath(element) {
  let path = placeOf(element);
  for (const ancestor of listAncestors(element)) {
    const anchor = listOwn(ancestor).find((selector) => count(selector) === 1);
    if (anchor && count(`${anchor} > ${path}`) === 1) return `${anchor} > ${path}`;
    path = `${placeOf(ancestor)} > ${path}`;
  }
  return path;
}

/** The element in a word, as the trail of its ancestors shows it: `section.hero`. @param {Element} element */
export function labelOf(element) {
  const name = Array.from(element.classList).find(isStable);
  return element.localName + (name ? `.${name}` : "");
}
