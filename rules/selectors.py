"""Checks the CSS selectors of playbooks: whether a browser can read one, and which elements it names.

The grammar is that of Selectors Level 4 without pseudo-elements, which no script can select. A selector that passes
may still match nothing on a page, or an element that it does not name: the browser script checks each element again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Maximum levels of selectors within selectors: `:not(:is(…))`.
MAX_LEVELS = 5

# An escape has all digits that follow: tried with fewer, those of a value without its end would take years.
_ESCAPE = r"\\(?>[0-9A-Fa-f]{1,6}[ \t]?|[^0-9A-Fa-f\r\n])"
_NAME_CHARACTER = rf"(?:[A-Za-z0-9_-]|[^\x00-\x7f]|{_ESCAPE})"
_NAME = re.compile(rf"(?![0-9]|-[0-9]|-(?!{_NAME_CHARACTER})){_NAME_CHARACTER}+")
_HASH = re.compile(rf"{_NAME_CHARACTER}+")
_VALUE = re.compile(rf"\"(?:[^\"\\\n]|{_ESCAPE})*\"|'(?:[^'\\\n]|{_ESCAPE})*'|{_NAME_CHARACTER}+")
_OPERATOR = re.compile(r"[~|^$*]?=")
_SPACE = re.compile(r"[ \t]*")
_CLOSE = re.compile(r"\)")
_ARGUMENTS = re.compile(r"[^()<>{};\\]+")
#: Pseudo-classes whose arguments are selectors; an element that matches the first ones is one of these selectors.
_ALTERNATIVES = frozenset({"is", "where", "matches", "-webkit-any", "-moz-any"})
_NESTING = _ALTERNATIVES | {"not", "has"}
_OF_JQUERY = frozenset(
    {"contains", "eq", "even", "first", "gt", "header", "hidden", "input", "last", "lt", "odd", "parent", "selected",
     "submit", "text", "visible"}
)  # fmt: skip


class _Unreadable(ValueError):
    """The selector is not valid; the message says why."""


def check_selector(text: str) -> str | None:
    """Return why a browser could not use this selector, or None."""
    try:
        _Reader(text).read_whole()
    except _Unreadable as error:
        return f"is not a CSS selector: {error}"
    return None


def list_named_elements(text: str) -> frozenset[str]:
    """Return the element names, in lower case, that a valid selector asks of what it selects: `div > a.b` asks `a`."""
    return frozenset(_Reader(text).read_whole())


@dataclass
class _Reader:
    """Reads one selector from left to right. Every method returns the names of elements that it asks for."""

    text: str
    position: int = 0
    level: int = field(default=0)

    def read_whole(self) -> set[str]:
        names = self._read_list("")
        if self.position < len(self.text):
            raise _Unreadable(f"unexpected {self._peek()!r}")
        return names

    def _read_list(self, end: str, *, relative: bool = False) -> set[str]:
        """Read selectors between commas, up to `end`; a relative one may begin with a combinator."""
        names: set[str] = set()
        while True:
            names |= self._read_complex(relative)
            if self._peek() != ",":
                break
            self.position += 1
        if end and self._peek() != end:
            raise _Unreadable(f"{end!r} is missing")
        self.position += len(end)
        return names

    def _read_complex(self, relative: bool) -> set[str]:
        """Read compounds joined by combinators; only the last one is what is selected."""
        self._skip(_SPACE)
        if relative and self._peek() in (">", "+", "~"):
            self.position += 1
            self._skip(_SPACE)
        while True:
            names = self._read_compound()
            self._skip(_SPACE)
            if self._peek() in ("", ",", ")"):
                return names
            if self._peek() in (">", "+", "~"):
                self.position += 1
                self._skip(_SPACE)

    def _read_compound(self) -> set[str]:
        start, names = self.position, self._read_type()
        while (mark := self._peek()) in ("#", ".", "[", ":") and mark:
            self.position += 1
            if mark == "#":
                self._take(_HASH, "a name after #")
            elif mark == ".":
                self._take(_NAME, "a class after the dot")
            elif mark == "[":
                self._read_attribute()
            else:
                names |= self._read_pseudo_class()
        if self.position == start:
            actual = repr(self._peek()) if self._peek() else "the end"
            raise _Unreadable(f"expected an element, a class or an id, not {actual}")
        return names

    def _read_type(self) -> set[str]:
        """Read `a`, `*`, `svg|a` or `*|a`."""
        name = self._read_type_name()
        if self._peek() == "|" and self.text[self.position + 1 : self.position + 2] != "=":
            self.position += 1
            name = self._read_type_name() or self._fail("expected an element after |")
        return {name} if name and name != "*" else set()

    def _read_type_name(self) -> str:
        if self._peek() == "*":
            self.position += 1
            return "*"
        match = _NAME.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return _decode(match[0]).lower() if match else ""

    def _read_attribute(self) -> None:
        self._skip(_SPACE)
        self._take(_NAME, "an attribute after [")
        self._skip(_SPACE)
        if _OPERATOR.match(self.text, self.position):
            self._take(_OPERATOR, "=")
            self._skip(_SPACE)
            self._take(_VALUE, "a value after =")
            self._skip(_SPACE)
            if self._peek().lower() in ("i", "s"):
                self.position += 1
                self._skip(_SPACE)
        if self._peek() != "]":
            raise _Unreadable("']' is missing")
        self.position += 1

    def _read_pseudo_class(self) -> set[str]:
        if self._peek() == ":":
            raise _Unreadable("a pseudo-element cannot be selected")
        name = _decode(self._take(_NAME, "a pseudo-class after the colon")).lower()
        if name in _OF_JQUERY:
            raise _Unreadable(f"no browser knows :{name}, which is jQuery's")
        if self._peek() != "(":
            return set()
        self.position += 1
        if name not in _NESTING:
            self._take(_ARGUMENTS, f"arguments of :{name}")
            self._take(_CLOSE, "')'")
            return set()
        return self._read_nested(name)

    def _read_nested(self, name: str) -> set[str]:
        if self.level == MAX_LEVELS:
            raise _Unreadable(f"it is nested deeper than {MAX_LEVELS} levels")
        self.level += 1
        names = self._read_list(")", relative=name == "has")
        self.level -= 1
        return names if name in _ALTERNATIVES else set()

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.position)
        self.position = match.end() if match else self.position

    def _take(self, pattern: re.Pattern[str], expected: str) -> str:
        match = pattern.match(self.text, self.position)
        if match is None:
            raise _Unreadable(f"expected {expected}")
        self.position = match.end()
        return match[0]

    def _fail(self, message: str) -> str:
        raise _Unreadable(message)


def _decode(name: str) -> str:
    """Return a name without escapes: `\\73 cript` is `script`."""

    def decode(match: re.Match[str]) -> str:
        digits = match[0][1:].strip()
        if not re.fullmatch(r"[0-9A-Fa-f]{1,6}", digits):
            return match[0][1:]
        code = int(digits, 16)
        return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"

    return re.sub(_ESCAPE, decode, name)
