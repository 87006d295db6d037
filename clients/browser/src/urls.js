/** Addresses: which may be used, and which a pattern means. */

/** Browsers skip some of these within a scheme, so `java\nscript:` is `javascript:`; the eye does not see the others. */
export const INVISIBLE =
  /[\u0000-\u0020\u007f-\u00a0\u00ad\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]/g;
const SCHEME = /^[a-z][a-z0-9+.-]*:/i;

/** Whether the address is relative, or absolute with http or https. @param {unknown} url @returns {url is string} */
export function isSafeUrl(url) {
  if (typeof url !== "string") return false;
  const scheme = SCHEME.exec(url.replace(INVISIBLE, ""));
  return !scheme || /^https?:$/i.test(scheme[0]);
}

/** The absolute address on http or https, or null. @param {unknown} url @returns {string | null} */
export function resolveUrl(url) {
  if (!isSafeUrl(url)) return null;
  try {
    const resolved = new URL(url, document.baseURI);
    return /^https?:$/.test(resolved.protocol) ? resolved.href : null;
  } catch {
    return null;
  }
}

/**
 * Whether a text matches a pattern in which `*` is any text. Takes at most length times length steps, whatever the
 * pattern.
 * @param {string} pattern @param {string} text
 */
export function matchesGlob(pattern, text) {
  let at = 0, place = 0, star = -1, resume = 0;
  while (at < text.length) {
    if (pattern[place] === "*") {
      star = place++;
      resume = at;
    } else if (pattern[place] === text[at]) {
      place++;
      at++;
    } else if (star >= 0) {
      place = star + 1;
      at = ++resume;
    } else return false;
  }
  while (pattern[place] === "*") place++;
  return place === pattern.length;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURI(text);
  } catch {
    return text;
  }
}

/**
 * Whether an address matches the pattern: its path, or with the origin where the pattern starts with http.
 * A person may write the path as it reads or as it is encoded.
 * @param {string} pattern @param {string} url
 */
export function matchesUrl(pattern, url) {
  const { origin, pathname } = new URL(url);
  const text = /^https?:/i.test(pattern) ? origin + pathname : pathname;
  return matchesGlob(pattern, text) || matchesGlob(pattern, decode(text));
}
