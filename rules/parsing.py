"""Parses a definition's text, YAML or JSON, of bounded size.

YAML follows its 1.2 core schema: `on` and `09:00` are strings; only true, false, null and numbers are not. Aliases,
tags and duplicate names in one object are rejected. Every error has a line and a column. libyaml reads the text where
PyYAML has it, ten times as fast; what is built from it is counted while it is read.
"""

from __future__ import annotations

import json  # its hooks: duplicate fields and constants are errors
import re
from collections import Counter
from typing import Any, ClassVar

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node

from rules.json_text import has_more_values

#: What some editors write at the beginning of a file; it belongs to the text, not to the document.
BYTE_ORDER_MARK = "\ufeff"
#: Maximum bytes of a definition's text.
MAX_BYTES = 256 * 1024
#: Maximum values and field names of a definition; a hundred steps have a few thousand.
MAX_VALUES = 10_000
#: Maximum levels of a document; steps eight levels deep with a nested body stay far below.
MAX_NESTING = 64


_TOO_MANY_VALUES = f"the definition has more than {MAX_VALUES:,} values"


class DefinitionError(ValueError):
    """The text is not a YAML or JSON document. `line` and `column` count from 1 and are 0 if unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message)
        self.line = line
        self.column = column


def read(text: str) -> object:
    """Parse the document in `text`. Raises `DefinitionError`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise DefinitionError(f"the definition is larger than {MAX_BYTES // 1024} KiB")
    body = text.removeprefix(BYTE_ORDER_MARK)
    try:
        return _read_json_or_yaml(body) if _begins_as_json(body) else _read_yaml(body)
    except RecursionError:
        raise DefinitionError("the definition is nested too deeply") from None


def is_json(text: str) -> bool:
    """Whether `read` parses the text as JSON: a YAML object may begin with a brace too."""
    body = text.removeprefix(BYTE_ORDER_MARK)
    if not _begins_as_json(body):
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _begins_as_json(text: str) -> bool:
    return text.lstrip()[:1] == "{"


def _read_json_or_yaml(text: str) -> object:
    """Parse JSON, or else YAML: a YAML object may begin with a brace too."""
    if has_more_values(text.encode("utf-8", "surrogatepass"), MAX_VALUES):
        raise DefinitionError(_TOO_MANY_VALUES)
    try:
        return json.loads(text, object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant)
    except json.JSONDecodeError:
        return _read_yaml(text)
    except DefinitionError:
        raise
    except ValueError:
        raise DefinitionError("a number is too large") from None


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        [(duplicate, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise DefinitionError(f'"{duplicate}" appears twice in one object')
    return mapping


def _reject_constant(word: str) -> object:
    raise DefinitionError(f"{word} is not a valid JSON number")


def _read_yaml(text: str) -> object:
    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = error.problem or "unreadable"
        raise DefinitionError(message, *_find_position(text, mark)) from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, DefinitionError):
            raise
        raise DefinitionError(str(error).splitlines()[0]) from None


def _find_position(text: str, mark: yaml.Mark | None) -> tuple[int, int]:
    """The line and column of an error; libyaml finds what is missing at the end in the line after the last."""
    if mark is None:
        return 0, 0
    lines = text.split("\n")
    return min((mark.line + 1, mark.column + 1), (len(lines), len(lines[-1]) + 1))


class _BoundedComposer(Composer):
    """Builds nodes in Python, also from libyaml's events: without aliases and tags, and not more than the bounds."""

    value_count = 0
    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[attr-defined]
        position = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            raise DefinitionError("aliases (*) are not supported", *position)
        if event.tag is not None:
            raise DefinitionError(f'the tag "{event.tag}" is not supported', *position)
        self.value_count += 1
        self.depth += 1
        if self.value_count > MAX_VALUES:
            raise DefinitionError(_TOO_MANY_VALUES, *position)
        if self.depth > MAX_NESTING:
            raise DefinitionError(f"the definition is nested deeper than {MAX_NESTING} levels", *position)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_BoundedComposer, _SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader with the core schema of YAML 1.2, bounded, and without duplicate names."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def __init__(self, stream: str) -> None:
        Composer.__init__(self)
        _SafeLoader.__init__(self, stream)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            position = (key.start_mark.line + 1, key.start_mark.column + 1)
            if key.tag != "tag:yaml.org,2002:str":
                raise DefinitionError("a field name must be a string", *position)
            if key.value in seen:
                raise DefinitionError(f'"{key.value}" appears twice in one object', *position)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+.0123456789"),
):
    _firsts = [*_first.replace("\0", ""), *([""] if "\0" in _first else [])]
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _firsts)


def _construct_integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """Read decimal digits only: `010` is ten, as in YAML 1.2, not eight."""
    if len(node.value) > 20:
        raise DefinitionError("this number is too large", node.start_mark.line + 1, node.start_mark.column + 1)
    return int(loader.construct_scalar(node))


Loader.add_constructor("tag:yaml.org,2002:int", _construct_integer)
