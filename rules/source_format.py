"""Writes single values into a definition's text as the text around them is written: indentation, quotes, line ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from rules.json_text import format_json
from rules.serialization import DefinitionDumper, sort_fields
from rules.source_tree import SourceTree, Value

_ONE_LINE = 1_000_000
_STRING = "tag:yaml.org,2002:str"


class _StyledText(str):
    """A text with the style of the scalar that it replaces."""

    style: str | None = None


@dataclass(frozen=True)
class SourceFormat:
    """How a text is written."""

    newline: str
    #: Spaces of one level of JSON, and spaces between the key of a list and its dashes.
    indent: int = 2
    dash_indent: int = 2
    quote: str = "'"
    is_json: bool = False

    def write_field(self, name: str, value: Any, style: str = "") -> list[str]:
        """Return the lines of a field in an object of lines; `style` is that of the scalar that it replaces."""
        return self._dump({name: _set_style(value, style)})

    def write_item(self, value: Any, style: str = "") -> list[str]:
        """Return the lines of an item in a list of lines."""
        return self._dump([_set_style(value, style)])

    def write_flow(self, value: Any, style: str = "", *, indented: bool = False) -> list[str]:
        """Return the lines of a value between braces or brackets; `indented` writes a collection of JSON in lines."""
        if self.is_json:
            return format_json(value, indent=self.indent if indented else None).split("\n")
        text = self._dump([_set_style(value, style if style in ('"', "'") else "")], flow=True)
        return ["".join(text)[1:-1]]

    def write_flow_key(self, name: str) -> str:
        """Return the name of a field between braces, with its colon."""
        key = format_json(name) if self.is_json else self.write_flow(name)[0]
        return f"{key}: "

    def _dump(self, value: Any, *, flow: bool = False) -> list[str]:
        dumper = type("_Dumper", (_TextDumper,), {"quote": self.quote, "dash_indent": self.dash_indent})
        text = yaml.dump(
            sort_fields(value), Dumper=dumper, sort_keys=False, allow_unicode=True, width=_ONE_LINE,
            default_flow_style=flow,
        )  # fmt: skip
        return text.removesuffix("\n").split("\n")


class _TextDumper(DefinitionDumper):
    """Writes texts in the quotes, and lists with the indentation, of the text around them."""

    quote = "'"
    dash_indent = 0

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent a list below its key where the text does."""
        super().increase_indent(flow, indentless and not self.dash_indent)


def _represent(dumper: _TextDumper, text: str) -> yaml.ScalarNode:
    style = getattr(text, "style", None)
    if style not in ("|", ">") and "\n" in text:
        style = "|" if all(line == line.rstrip() for line in text.split("\n")) else '"'
    if style is None and dumper.quote == '"' and not _is_plain(dumper, text):
        style = '"'
    return dumper.represent_scalar(_STRING, str(text), style=style)


def _is_plain(dumper: _TextDumper, text: str) -> bool:
    resolved = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return resolved == _STRING and bool(dumper.analyze_scalar(text).allow_flow_plain)


_TextDumper.add_representer(str, _represent)
_TextDumper.add_representer(_StyledText, _represent)


def _set_style(value: Any, style: str) -> Any:
    """Give a text the style of the scalar that it replaces; a plain one may need quotes."""
    if not isinstance(value, str) or not style:
        return value
    text = _StyledText(value)
    text.style = None if "\n" in value and style in ('"', "'") else style
    return text


def find_format(tree: SourceTree) -> SourceFormat:
    """Return how a text is written: what most of its values have."""
    quotes: Counter[str] = Counter()
    indents: Counter[int] = Counter()
    dashes: Counter[int] = Counter()
    for value in tree.iter_values():
        if value.style in ("'", '"'):
            quotes[value.style] += 1
        for child, indent in _iter_indents(tree, value):
            (dashes if child.kind == "list" and not tree.is_json else indents)[indent] += 1
    return SourceFormat(
        tree.newline, _find_most_common(indents, 2), _find_most_common(dashes, 0), _find_most_common(quotes, "'"),
        tree.is_json,
    )  # fmt: skip


def _find_most_common(counts: Counter[Any], default: Any) -> Any:
    return counts.most_common(1)[0][0] if counts else default


def _iter_indents(tree: SourceTree, value: Value) -> Iterator[tuple[Value, int]]:
    """Yield each collection in a value that begins in a line of its own, with its spaces beside the value's key."""
    for entry in value.entries:
        child = entry.value
        if not child.entries:
            continue
        first = child.entries[0].start
        if tree.find_line_start(first) > entry.start and not tree.text[tree.find_line_start(first) : first].strip():
            yield child, tree.get_column(first) - _find_indent(tree, entry.start)


def _find_indent(tree: SourceTree, offset: int) -> int:
    """Return the column of an entry; in JSON the indentation of its line."""
    if not tree.is_json:
        return tree.get_column(offset)
    line = tree.text[tree.find_line_start(offset) : offset]
    return len(line) - len(line.lstrip())
