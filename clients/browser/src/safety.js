/**
 * What no playbook may do, whatever the server let through: run script, reach elements that load code, or use addresses
 * other than http and https. The lists are those of the server's validation. Each function answers why a change is
 * refused, or an empty text.
 */
import { INVISIBLE, isSafeUrl } from "./urls.js";

/** @param {string} names */
const listNames = (names) => names.split(" ");

export const EXECUTED_ELEMENTS = listNames(
  "animate animatemotion animatetransform applet base embed fencedframe foreignobject frame frameset iframe link meta " +
    "noembed noframes noscript object param portal script set style template use xmp",
);
export const URL_ATTRIBUTES = listNames("action background cite formaction href longdesc poster src xlink:href");
const IMAGE_LISTS = listNames("imagesrcset srcset");
export const ALLOWED_ATTRIBUTES = listNames(
  "alt autocomplete checked class cols colspan decoding dir disabled download draggable enterkeyhint fetchpriority for " +
    "headers height hidden hreflang inert inputmode label lang loading max maxlength media min minlength multiple open " +
    "pattern placeholder readonly rel required reversed role rows rowspan scope selected size sizes span spellcheck " +
    "start step tabindex target title translate value width wrap",
).concat(URL_ATTRIBUTES, IMAGE_LISTS);
const FREE_ATTRIBUTE = /^(aria|data)-[a-z0-9]+([-_.][a-z0-9]+)*$/;
/** Attributes that a framework of the page executes. */
const EXECUTED_DATA = /^data-(hx-|ng-|x-|v-|star-|bind|on|(attr|class|computed|custom-validity|effect|init|replace-url|show|signals|style|text)(?![a-z\d]))/;
const SCRIPT_SCHEME = /^(javascript|vbscript|data):/i;
const PROPERTY = /^(--[a-z0-9]|-?[a-z])[a-z0-9]*(-[a-z0-9]+)*$/;
const EXECUTED_PROPERTY = /^(-ms-)?behavior$|^-moz-binding$/;
const STYLE_CHARACTERS = /[\\;{}<>@]|\/\*|\*\//;
const EXECUTED_VALUE = /expression\(|@import|behavior|-moz-binding|javascript|vbscript/i;

/** @param {Element} element */
export function refuseElement({ localName }) {
  return EXECUTED_ELEMENTS.includes(localName.toLowerCase()) ? `<${localName}> cannot be changed` : "";
}

/** @param {unknown} name @param {unknown} value */
export function refuseAttribute(name, value) {
  const lower = String(name).toLowerCase();
  const isFree = FREE_ATTRIBUTE.test(lower) && !EXECUTED_DATA.test(lower);
  if (!isFree && !ALLOWED_ATTRIBUTES.includes(lower)) return `attribute ${name} is not allowed`;
  return isSafeValue(lower, String(value)) ? "" : `attribute ${name} needs an http or https address`;
}

/** @param {string} name @param {string} value */
function isSafeValue(name, value) {
  if (URL_ATTRIBUTES.includes(name)) return isSafeUrl(value);
  if (IMAGE_LISTS.includes(name)) return value.split(",").every((image) => isSafeUrl(image));
  return !SCRIPT_SCHEME.test(value.replace(INVISIBLE, ""));
}

/** @param {string} property @param {string} value */
export function refuseStyle(property, value) {
  if (!PROPERTY.test(property) || EXECUTED_PROPERTY.test(property)) return `style ${property} is not allowed`;
  const visible = value.replace(INVISIBLE, "");
  const hasScheme = visible.replace(/https?:\/\/[^"'()]*/gi, "").includes(":");
  const isRefused = STYLE_CHARACTERS.test(value) || EXECUTED_VALUE.test(visible) || hasScheme;
  return isRefused ? `value of style ${property} is not allowed` : "";
}
