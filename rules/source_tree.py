"""Finds where each value of a definition's text stands, YAML or JSON, so that an edit replaces only its own lines.

Offsets count characters of the text. A text that `rules.parsing.read` refuses has no tree.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rules.json_text import load_json
from rules.parsing import BYTE_ORDER_MARK, MAX_BYTES, DefinitionError, Loader, is_json, read
from rules.problems import join_path

#: Names of fields and indexes of lists from the document to a value.
Path = tuple[str | int, ...]
Kind = Literal["object", "list", "scalar"]

_BREAK = re.compile(r"\r\n|\r|\n")
#: Spaces, line breaks and comments.
_BLANKS = re.compile(r"(?:[ \t\r\n]|(?:(?<=[ \t\r\n])|^)#[^\r\n]*)*")
_ANCHOR = re.compile(r"&[^\s,\[\]{}]+")
_JSON_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\[\]{}:]+')
_PATH = re.compile(r"\[(\d{1,6})\]|(?:^|\.)([^.\[\]]+)")


@dataclass(slots=True)
class Value:
    """A value with its place: `end` is after its last character, and of a block collection after its last value."""

    kind: Kind
    start: int
    end: int
    #: `{`, `[`, a quote, `|`, `>`, or empty for a plain scalar and for a collection in lines.
    style: str = ""
    entries: list[Entry] = field(default_factory=list)

    @property
    def is_block(self) -> bool:
        """Whether it is a collection with one entry a line."""
        return self.kind != "scalar" and not self.style


@dataclass(slots=True)
class Entry:
    """A field of an object, or an item of a list. `start` is where its key or its dash begins, and `head_end` where
    these end: after the colon, or after the dash."""

    name: str | int
    start: int
    head_end: int
    value: Value


@dataclass(slots=True)
class SourceTree:
    """The values of a text."""

    text: str
    is_json: bool
    root: Value | None

    @property
    def newline(self) -> str:
        """The line end of the text."""
        match = _BREAK.search(self.text)
        return match[0] if match else "\n"

    def find(self, path: Path) -> Value | None:
        """Return the value at a path, or None."""
        entry = self.find_entry(path)
        return entry.value if entry else self.root if not path else None

    def find_entry(self, path: Path) -> Entry | None:
        """Return the entry at a path, or None; the document has none."""
        value, entry = self.root, None
        for name in path:
            entries = value.entries if value else []
            entry = next((item for item in entries if item.name == name and type(item.name) is type(name)), None)
            if entry is None:
                return None
            value = entry.value
        return entry

    def iter_values(self) -> Iterator[Value]:
        """Yield each value, an object or list before its entries."""
        stack = [self.root] if self.root else []
        while stack:
            value = stack.pop()
            yield value
            stack.extend(entry.value for entry in reversed(value.entries))

    def find_line_start(self, offset: int) -> int:
        """Return where the line of an offset begins."""
        return max(self.text.rfind("\n", 0, offset), self.text.rfind("\r", 0, offset)) + 1

    def find_line_end(self, offset: int) -> int:
        """Return where the line of an offset ends, before its line break."""
        match = _BREAK.search(self.text, offset)
        return match.start() if match else len(self.text)

    def find_next_line(self, offset: int) -> int:
        """Return where the line after that of an offset begins."""
        match = _BREAK.search(self.text, offset)
        return match.end() if match else len(self.text)

    def get_column(self, offset: int) -> int:
        """Return the characters before an offset in its line."""
        return offset - self.find_line_start(offset)


def parse_path(text: str) -> Path:
    """Parse `steps[2].with.subject`. Raises ValueError."""
    path: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PATH.match(text, position)
        if match is None:
            raise ValueError("must be a path such as steps[2].with.subject")
        path.append(int(match[1]) if match[1] is not None else match[2])
        position = match.end()
    return tuple(path)


def format_path(path: Sequence[str | int]) -> str:
    """Format a path as problems name it: `steps[2].with.subject`."""
    text = ""
    for name in path:
        text = f"{text}[{name}]" if isinstance(name, int) else join_path(text, name)
    return text


def build_tree(text: str) -> SourceTree:
    """Return the tree of a text, which begins after its byte order mark. Raises `DefinitionError`."""
    text = text.removeprefix(BYTE_ORDER_MARK)
    if len(text) > MAX_BYTES or is_json(text):
        read(text)
        return SourceTree(text, True, _scan_json(text, _skip_blanks(text, 0))[0])
    try:
        root = yaml.compose(text, Loader)
    except yaml.YAMLError as error:
        raise DefinitionError(str(error).splitlines()[0]) from None
    return SourceTree(text, False, _convert(text, root) if root is not None else None)


def find_lines(text: str, path: str) -> tuple[int, int] | None:
    """Return the first and the last line, from 1, of the value at a path; None if the text has none there."""
    try:
        tree, names = build_tree(text), parse_path(path)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    entry = tree.find_entry(names)
    if entry is None:
        return None
    last = max(entry.start, entry.value.end - 1)
    return tuple(len(_BREAK.findall(tree.text, 0, offset)) + 1 for offset in (entry.start, last))  # type: ignore[return-value]


def map_positions(text: str) -> dict[str, tuple[int, int]]:
    """Return line and column, from 1, of each value of the document by its path; empty if the text has no tree."""
    try:
        tree = build_tree(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    if tree.root is None:
        return {}
    starts = [0, *(match.end() for match in _BREAK.finditer(tree.text))]
    positions: dict[str, tuple[int, int]] = {"": _find_position(starts, tree.root.start)}
    stack: list[tuple[str, Value]] = [("", tree.root)]
    while stack:
        path, value = stack.pop()
        for entry in value.entries:
            is_item = isinstance(entry.name, int)
            inner = f"{path}[{entry.name}]" if is_item else join_path(path, str(entry.name))
            # An item is where its value begins, not at the dash.
            positions[inner] = _find_position(starts, entry.value.start if is_item else entry.start)
            stack.append((inner, entry.value))
    return positions


def find_position(path: str, positions: Mapping[str, tuple[int, int]]) -> tuple[int, int] | None:
    """Return the position of the value at `path`, or of its nearest parent; `positions` is the result of
    `map_positions`."""
    while path and path not in positions:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return positions.get(path) if path else None


def _find_position(starts: Sequence[int], offset: int) -> tuple[int, int]:
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1


def _skip_blanks(text: str, offset: int) -> int:
    match = _BLANKS.match(text, offset)
    return match.end() if match else offset


def _convert(text: str, node: Node) -> Value:
    """Build the value of PyYAML's node. The nesting is bounded by `rules.parsing`."""
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, ScalarNode):
        style = node.style or ""
        return Value("scalar", start, _find_block_end(text, start, end) if style in ("|", ">") else end, style)
    kind: Kind = "object" if isinstance(node, MappingNode) else "list"
    value = Value(kind, start, end, ("{" if kind == "object" else "[") if getattr(node, "flow_style", False) else "")
    if isinstance(node, MappingNode):
        value.entries = [_convert_field(text, key, inner) for key, inner in node.value]
    elif isinstance(node, SequenceNode):
        value.entries = _convert_items(text, value, node.value)
    if value.is_block and value.entries:
        value.end = value.entries[-1].value.end
    return value


def _convert_field(text: str, key: Node, inner: Node) -> Entry:
    value = _convert(text, inner)
    key_end = key.end_mark.index
    colon = text.find(":", key_end, max(value.start, key_end) + 1)
    head_end = colon + 1 if colon >= 0 else key_end
    if value.start == value.end:
        # An empty value stands right after the colon.
        value.start = value.end = head_end
    return Entry(str(key.value), key.start_mark.index, head_end, value)


def _convert_items(text: str, parent: Value, nodes: Sequence[Node]) -> list[Entry]:
    entries: list[Entry] = []
    position = parent.start
    if match := _ANCHOR.match(text, position):
        position = _skip_blanks(text, match.end())
    for index, node in enumerate(nodes):
        value = _convert(text, node)
        if parent.style:
            entries.append(Entry(index, value.start, value.start, value))
            continue
        dash = _skip_blanks(text, entries[-1].value.end) if entries else position
        if value.start == value.end:
            value.start = value.end = dash + 1
        entries.append(Entry(index, dash, dash + 1, value))
    return entries


def _find_block_end(text: str, start: int, end: int) -> int:
    """Return where the lines of a block scalar end: empty lines after it are its own only where it keeps them."""
    header = text[start : _BREAK.search(text, start).start() if _BREAK.search(text, start) else end]  # type: ignore[union-attr]
    content = text[start:end]
    if "+" in header.partition("#")[0]:
        return start + len(re.sub(r"(?:\r\n|\r|\n)[ \t]*\Z", "", content))
    return start + len(re.sub(r"(?:(?:\r\n|\r|\n)[ \t]*)+\Z", "", content))


def _scan_json(text: str, position: int) -> tuple[Value, int]:
    """Return the value of valid JSON at a position, and the position after it."""
    opening = text[position]
    if opening not in "{[":
        match = _JSON_SCALAR.match(text, position)
        assert match is not None
        return Value("scalar", position, match.end(), opening if opening == '"' else ""), match.end()
    value = Value("object" if opening == "{" else "list", position, position, opening)
    position = _skip_blanks(text, position + 1)
    while text[position] not in "}]":
        start = position
        name: str | int = len(value.entries)
        if opening == "{":
            key = _JSON_SCALAR.match(text, position)
            assert key is not None
            name = load_json(key[0])
            position = _skip_blanks(text, _skip_blanks(text, key.end()) + 1)
        head_end = position
        inner, position = _scan_json(text, position)
        value.entries.append(Entry(name, start, head_end, inner))
        position = _skip_blanks(text, position)
        if text[position] == ",":
            position = _skip_blanks(text, position + 1)
    value.end = position + 1
    return value, position + 1
