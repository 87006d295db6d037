"""Decides which values a playbook may write into a page: URLs, attributes, styles, and the page pattern of its trigger.

A playbook must never execute script, so everything that a browser could execute is refused, however it is spelled:
only known attributes, only http, https and relative URLs, no style that loads or computes anything else. The browser
script refuses the same again, for versions that were stored before a rule. All functions return why a value is not
allowed, or None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rules.field_types import Report
from rules.problems import describe_type
from rules.selectors import list_named_elements

#: What a browser ignores in a scheme, or what the eye does not see: controls, spaces, marks without width.
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\xad\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]")
_SCHEME = re.compile(r"([^/?#:]*):")
_AUTHORITY = re.compile(r"(?:https?:)?//([^/?#]*)", re.IGNORECASE)
_WEB_URL = "must be an http or https URL, or a path such as /pricing"

#: Attributes whose value is one URL, and those whose value is a list of images.
URL_ATTRIBUTES = frozenset(
    {"action", "background", "cite", "formaction", "href", "longdesc", "poster", "src", "xlink:href"}
)
_IMAGE_LISTS = frozenset({"imagesrcset", "srcset"})
#: Attributes that a playbook may set, beside `aria-…` and `data-…`.
ALLOWED_ATTRIBUTES = frozenset(
    {
        "alt", "autocomplete", "checked", "class", "cols", "colspan", "decoding", "dir", "disabled", "download",
        "draggable", "enterkeyhint", "fetchpriority", "for", "headers", "height", "hidden", "hreflang", "inert",
        "inputmode", "label", "lang", "loading", "max", "maxlength", "media", "min", "minlength", "multiple",
        "open", "pattern", "placeholder", "readonly", "rel", "required", "reversed", "role", "rows", "rowspan",
        "scope", "selected", "size", "sizes", "span", "spellcheck", "start", "step", "tabindex", "target", "title",
        "translate", "value", "width", "wrap",
    }
) | URL_ATTRIBUTES | _IMAGE_LISTS  # fmt: skip
_EXECUTED = frozenset({"style", "srcdoc", "nonce"})
#: `data-` attributes that frameworks of the page execute: htmx, Angular, Alpine, Vue, Knockout, and those of Datastar.
_EXECUTED_DATA = re.compile(
    r"data-(?:hx-|ng-|x-|v-|star-|bind|on"
    r"|(?:attr|class|computed|custom-validity|effect|init|replace-url|show|signals|style|text)(?![a-z0-9]))"
)
_FREE_ATTRIBUTE = re.compile(r"(?:aria|data)-[a-z0-9]+(?:[-_.][a-z0-9]+)*")

#: Elements whose content or attributes a browser executes or loads as a page: a playbook does not change them.
EXECUTED_ELEMENTS = frozenset(
    {
        "animate", "animatemotion", "animatetransform", "applet", "base", "embed", "fencedframe", "foreignobject",
        "frame", "frameset", "iframe", "link", "meta", "noembed", "noframes", "noscript", "object", "param", "portal",
        "script", "set", "style", "template", "use", "xmp",
    }
)  # fmt: skip

_PROPERTY = re.compile(r"(?:--[a-z0-9]|-?[a-z])[a-z0-9]*(?:-[a-z0-9]+)*")
_FORBIDDEN_PROPERTIES = frozenset({"behavior", "-ms-behavior", "-moz-binding"})
_FORBIDDEN_STYLE = ("expression(", "@import", "behavior", "-moz-binding", "javascript", "vbscript")
_STYLE_CHARACTERS = re.compile(r"[\\;{}<>@]|/\*|\*/")
_STYLE_FUNCTION = re.compile(r"url\(\s*+(?:\"([^\"]*)\"|'([^']*)'|([^)]*+))\s*\)", re.IGNORECASE)
_STYLE_URL = re.compile(r"https?://[^\s\"'()]*", re.IGNORECASE)


def check_web_url(text: str) -> str | None:
    """Check a URL that the visitor's browser follows or loads: http, https, or relative to the page."""
    visible = _INVISIBLE.sub("", text)
    scheme = _SCHEME.match(visible)
    if scheme and scheme[1].lower() not in ("http", "https"):
        return _WEB_URL
    if visible != text or "\\" in text:
        return "must not contain spaces, control characters or backslashes"
    authority = _AUTHORITY.match(text)
    if (scheme or text.startswith("//")) and not (authority and authority[1]):
        return _WEB_URL
    return "must not contain a user name or password" if authority and "@" in authority[1] else None


def check_page_pattern(text: str) -> str | None:
    """Check the pattern of a page's address: a path, or a whole address with http; `*` stands for any characters."""
    if not text.startswith(("/", "*", "http://", "https://")):
        return 'must be a path such as "/pricing*", or an address that begins with https://'
    if _INVISIBLE.search(text) or "\\" in text:
        return "must not contain spaces, control characters or backslashes"
    if "?" in text or "#" in text:
        return "must be the address without ? and #: use utm for parameters"
    return "must have at most 10 stars" if text.count("*") > 10 else None


def check_line(text: str) -> str | None:
    """Check a name that is shown on one line."""
    return None if text.isprintable() else "must be a single line without control characters"


def check_static_text(text: str) -> str | None:
    """Check a text that is inserted as it is: templates would show their braces."""
    if "{{" in text or "{%" in text:
        return "must not be a template: a playbook runs in the visitor's browser and knows no contact"
    return None


def check_attribute_name(name: str) -> str | None:
    """Check the name of an attribute to set."""
    lower = name.lower()
    if lower.startswith("on") or lower in _EXECUTED or _EXECUTED_DATA.match(lower):
        return f'must not be "{name}": a browser executes its value'
    if lower in ALLOWED_ATTRIBUTES or _FREE_ATTRIBUTE.fullmatch(lower):
        return None
    return "is not an attribute that a playbook may set; see docs/playbooks.md"


def check_attribute_value(name: str, value: str) -> str | None:
    """Check the value of an attribute that may be set: URLs lead to web pages only."""
    lower = name.lower()
    if lower in URL_ATTRIBUTES:
        return check_web_url(value)
    if lower in _IMAGE_LISTS:
        candidates = [candidate.split() for candidate in value.split(",") if candidate.strip()]
        urls = [url for parts in candidates for url in (parts[0], "".join(parts))]
        return next((fault for url in urls if (fault := check_web_url(url))), None)
    scheme = _SCHEME.match(_INVISIBLE.sub("", value))
    is_script = lower.startswith("data-") and scheme and scheme[1].lower() in ("javascript", "vbscript", "data")
    return _WEB_URL if is_script else None


def check_style_property(name: str) -> str | None:
    """Check the name of a CSS property."""
    if name in _FORBIDDEN_PROPERTIES:
        return "is a property that executes script"
    if _PROPERTY.fullmatch(name) and len(name) <= 100:
        return None
    dashed = re.sub(r"[A-Z]", lambda match: f"-{match[0].lower()}", name)
    hint = f': write "{dashed}"' if dashed != name and _PROPERTY.fullmatch(dashed) else ""
    return f"is not a CSS property{hint}"


def check_style_value(value: str) -> str | None:
    """Check the value of a CSS property: one value, which loads nothing but web addresses."""
    if _STYLE_CHARACTERS.search(value) or not value.isprintable():
        return r"must be one CSS value without ; { } < > @ \ and comments"
    lower = _INVISIBLE.sub("", value).lower()
    forbidden = next((words for words in _FORBIDDEN_STYLE if words in lower), None)
    if forbidden:
        return f'must not contain "{forbidden}"'
    if ":" in _STYLE_URL.sub("", value):
        return "must only load http and https URLs"
    urls = _STYLE_FUNCTION.findall(value)
    if len(urls) != len(re.findall(r"url\s*\(", value, re.IGNORECASE)):
        return "must close its url("
    return next((fault for quoted in urls if (fault := check_web_url("".join(quoted).strip()))), None)


@dataclass(frozen=True, slots=True)
class StyleValue:
    """The value of a CSS property: a text, or a number such as `0.5` or `3`."""

    max_length: int = 500
    label = "CSS value"

    def check(self, value: object, path: str, report: Report) -> None:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            report.add(path, f"must be a string or a number, not {describe_type(value)}")
        elif isinstance(value, str) and not 0 < len(value.strip()) <= len(value) <= self.max_length:
            report.add(path, f"must have 1 to {self.max_length} characters")
        elif isinstance(value, str) and (fault := check_style_value(value)):
            report.add(path, fault)

    def to_json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1, "maxLength": self.max_length}, {"type": "number"}]}


def check_changed_elements(selector: str) -> str | None:
    """Check that a valid selector asks for no element that a browser executes."""
    executed = sorted(list_named_elements(selector) & EXECUTED_ELEMENTS)
    return f"must not select <{executed[0]}>: a browser executes it" if executed else None
