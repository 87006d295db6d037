"""Reading a definition's text: YAML or JSON, of bounded size, without the surprises of either.

YAML is read by its 1.2 core rules: `on` and `09:00` are texts, only true, false, null and numbers are not. Aliases,
tags and names that stand twice in one object are refused. Every fault names its line and column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from rules.problems import below

#: Bytes that a definition's text may have.
MOST_BYTES = 256 * 1024


class DefinitionError(ValueError):
    """The text is no YAML or JSON document. `line` and `column` count from 1 and are 0 when nothing can be named."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message)
        self.line = line
        self.column = column


def read(text: str) -> object:
    """The document that `text` holds. Raises `DefinitionError`."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise DefinitionError(f"the definition is larger than {MOST_BYTES // 1024} KiB")
    try:
        if text.lstrip()[:1] == "{":
            return _json_or_yaml(text)
        return _yaml(text)
    except RecursionError:
        raise DefinitionError("the definition is nested too deep") from None


def lines(text: str) -> dict[str, int]:
    """The line on which each value of the document begins, by its path; empty where the text cannot be read."""
    found: dict[str, int] = {}
    try:
        root = yaml.compose(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return found
    waiting = [("", root)] if root is not None else []
    while waiting:
        path, node = waiting.pop()
        found.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            for key, value in node.value:
                found[below(path, str(key.value))] = key.start_mark.line + 1
                waiting.append((below(path, str(key.value)), value))
        elif isinstance(node, SequenceNode):
            waiting.extend((f"{path}[{index}]", value) for index, value in enumerate(node.value))
    return found


def line_of(path: str, known: Mapping[str, int]) -> int | None:
    """The line of what a path names, or of the nearest thing around it; `known` is what `lines` found."""
    while path and path not in known:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return known.get(path) if path else None


def _json_or_yaml(text: str) -> object:
    """JSON where it is JSON; a YAML object may begin with a brace too."""
    try:
        return json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except json.JSONDecodeError:
        return _yaml(text)
    except DefinitionError:
        raise
    except ValueError:
        raise DefinitionError("a number is too large") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DefinitionError(f'"{twice}" stands twice in one object')
    return found


def _no_constant(word: str) -> object:
    raise DefinitionError(f"{word} is not a number that JSON knows")


def _yaml(text: str) -> object:
    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = error.problem or "unreadable"
        raise DefinitionError(message, mark.line + 1, mark.column + 1) if mark else DefinitionError(message) from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, DefinitionError):
            raise
        raise DefinitionError(str(error).splitlines()[0]) from None


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema of YAML 1.2, no aliases, and no name twice."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            raise DefinitionError("aliases (*) are not read here", *place)
        if event.tag is not None:
            raise DefinitionError(f'the tag "{event.tag}" is not read here', *place)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            place = (key.start_mark.line + 1, key.start_mark.column + 1)
            if key.tag != "tag:yaml.org,2002:str":
                raise DefinitionError("the name of a field must be a text", *place)
            if key.value in seen:
                raise DefinitionError(f'"{key.value}" stands twice in one object', *place)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+.0123456789"),
):
    _firsts = [*_first.replace("\0", ""), *([""] if "\0" in _first else [])]
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _firsts)


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """Decimal always: `010` is ten, as in YAML 1.2, not eight."""
    if len(node.value) > 20:
        raise DefinitionError("this number is too large", node.start_mark.line + 1, node.start_mark.column + 1)
    return int(loader.construct_scalar(node))


Loader.add_constructor("tag:yaml.org,2002:int", _whole)
