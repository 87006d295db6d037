"""Edits a definition's text as its author wrote it: only the lines of the edited values change.

Comments, key order, quotes, block scalars, indentation and line ends elsewhere stay; JSON stays JSON. Each result is
parsed and compared with the edited document. Where a text is written so that a value cannot be changed in place, the
smallest part around it is written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from rules import source_splices
from rules.json_text import format_json
from rules.parsing import BYTE_ORDER_MARK, is_json, read
from rules.serialization import write
from rules.source_tree import Path, format_path

Operation = Literal["set", "insert", "delete", "move"]
OPERATIONS: tuple[Operation, ...] = ("set", "insert", "delete", "move")

#: Changes of one document that are made one by one; more than these write it anew.
_MAX_CHANGES = 200


class EditError(ValueError):
    """The document has no value where the edit needs one. `path` is that of the edit."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{format_path(path)}: {message}")
        self.path = format_path(path)
        self.message = message


@dataclass(frozen=True)
class Edit:
    """One edit. `set` replaces a value or adds a field; `insert` puts an item into a list before an index; `move` takes
    an item to the path `to`, which counts without it."""

    op: Operation
    path: Path
    value: Any = None
    to: Path = ()


def edit_text(text: str, edits: Sequence[Edit]) -> str:
    """Apply edits, one after another. Raises `EditError`, or `DefinitionError` where the text cannot be parsed."""
    mark, text = _split_mark(text)
    for edit in edits:
        before = read(text)
        after = edit_document(before, edit)
        text = _apply(text, list(_expand(before, edit)), before, after)
    return mark + text


def rewrite(text: str, document: Any) -> str:
    """Return the text with the changes that make it the document. Raises `DefinitionError`."""
    mark, text = _split_mark(text)
    before = read(text)
    return mark + _apply(text, list(_compare(before, document, ())), before, document)


def _split_mark(text: str) -> tuple[str, str]:
    rest = text.removeprefix(BYTE_ORDER_MARK)
    return text[: len(text) - len(rest)], rest


def edit_document(document: Any, edit: Edit) -> Any:
    """Return a copy of the document with the edit. Raises `EditError`."""
    root = {"": deepcopy(document)}
    if not edit.path:
        if edit.op != "set":
            raise EditError(edit.path, "must name a value within the document")
        return deepcopy(edit.value)
    if edit.op == "set":
        _set(_resolve(root[""], edit.path, edit.path[:-1]), edit.path, deepcopy(edit.value))
    elif edit.op == "insert":
        _insert(_resolve_list(root[""], edit.path), edit.path, deepcopy(edit.value))
    else:
        item = _remove(_resolve(root[""], edit.path, edit.path[:-1]), edit.path)
        if edit.op == "move":
            if not isinstance(edit.path[-1], int):
                raise EditError(edit.path, "must name an item of a list")
            if not edit.to:
                raise EditError(edit.to, "must name the list and the index to move to")
            target = _resolve_list(root[""], edit.to)
            _insert(target, edit.to, item)
    return root[""]


def _resolve(document: Any, path: Path, names: Path) -> Any:
    value = document
    for name in names:
        if not _has(value, name):
            raise EditError(path, "does not exist")
        value = value[name]
    return value


def _resolve_list(document: Any, path: Path) -> Any:
    """Return the list of an item's path; an arm that a step does not have yet is added."""
    owner = _resolve(document, path, path[:-2])
    name = path[-2] if len(path) > 1 else ""
    if isinstance(owner, dict) and isinstance(name, str) and owner.get(name) is None:
        owner[name] = []
    return _resolve(document, path, path[:-1])


def _set(parent: Any, path: Path, value: Any) -> None:
    name = path[-1]
    if not _has(parent, name) and not (isinstance(parent, dict) and isinstance(name, str)):
        raise EditError(path, "does not exist")
    parent[name] = value


def _has(container: Any, name: str | int) -> bool:
    if isinstance(container, list):
        return isinstance(name, int) and 0 <= name < len(container)
    return isinstance(container, dict) and name in container


def _insert(parent: Any, path: Path, value: Any) -> None:
    index = path[-1]
    if not isinstance(parent, list) or not isinstance(index, int) or not 0 <= index <= len(parent):
        raise EditError(path, "must name a place in a list")
    parent.insert(index, value)


def _remove(parent: Any, path: Path) -> Any:
    if not _has(parent, path[-1]):
        raise EditError(path, "does not exist")
    return parent.pop(path[-1])


def _expand(document: Any, edit: Edit) -> Iterator[Edit]:
    """Yield the edit; one that replaces an object or a list becomes the changes within it."""
    if edit.op != "set":
        yield edit
        return
    try:
        old = _resolve(document, edit.path, edit.path)
    except EditError:
        yield edit
        return
    yield from _compare(old, edit.value, edit.path)


def _compare(old: Any, new: Any, path: Path) -> Iterator[Edit]:
    """Yield the edits that make `old` become `new`, to be applied in their order."""
    if isinstance(old, dict) and isinstance(new, dict) and (path or old) and new:
        for name, value in new.items():
            if name not in old:
                yield Edit("set", (*path, name), value)
            else:
                yield from _compare(old[name], value, (*path, name))
        yield from (Edit("delete", (*path, name)) for name in old if name not in new)
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        yield from _compare_lists(old, new, path)
    elif not is_same(old, new):
        yield Edit("set", path, new)


def _compare_lists(old: list[Any], new: list[Any], path: Path) -> Iterator[Edit]:
    old_keys, new_keys = _list_keys(old), _list_keys(new)
    if old_keys is None or new_keys is None:
        yield from _compare_by_index(old, new, path)
        return
    current = list(old_keys)
    items = dict(zip(old_keys, old, strict=True))
    for key in old_keys:
        if key not in new_keys and len(current) > 1:
            yield Edit("delete", (*path, current.index(key)))
            current.remove(key)
    stale = [key for key in current if key not in new_keys]
    stable = find_stable(current, new_keys)
    for index, (key, value) in enumerate(zip(new_keys, new, strict=True)):
        if key in stable:
            continue
        place = current.index(key) if key in items else -1
        if place >= 0:
            current.pop(place)
        target = current.index(new_keys[index - 1]) + 1 if index else 0
        current.insert(target, key)
        if place < 0:
            yield Edit("insert", (*path, target), value)
        elif place != target:
            yield Edit("move", (*path, place), items[key], (*path, target))
    for key in stale:
        yield Edit("delete", (*path, current.index(key)))
        current.remove(key)
    for index, (key, value) in enumerate(zip(new_keys, new, strict=True)):
        if key in items:
            yield from _compare(items[key], value, (*path, index))


def find_stable(current: Sequence[str], keys: Sequence[str]) -> set[str]:
    """Return the longest part of the current order that is also the new one: these items stay where they are."""
    places = {key: place for place, key in enumerate(keys)}
    chains: list[list[str]] = [[]]
    for key in (key for key in current if key in places):
        longest: list[str] = []
        for chain in chains:
            if len(chain) > len(longest) and places[chain[-1]] < places[key]:
                longest = chain
        chains.append([*longest, key])
    return set(chains[max(range(len(chains)), key=lambda index: len(chains[index]))])


def _list_keys(items: list[Any]) -> list[str] | None:
    """Return what identifies each item: a step's id or a variant's name; None if an item has neither, or two share
    one."""
    keys = [item.get("id", item.get("name")) if isinstance(item, dict) else None for item in items]
    if all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys):
        return [str(key) for key in keys]
    return None


def _compare_by_index(old: list[Any], new: list[Any], path: Path) -> Iterator[Edit]:
    first = next(
        (index for index, pair in enumerate(zip(old, new, strict=False)) if not is_same(*pair)),
        min(len(old), len(new)),
    )
    last = 0
    while last < min(len(old), len(new)) - first and is_same(old[-1 - last], new[-1 - last]):
        last += 1
    old_end, new_end = len(old) - last, len(new) - last
    shared = min(old_end, new_end)
    for index in range(first, shared):
        yield from _compare(old[index], new[index], (*path, index))
    for index in range(shared, new_end):
        yield Edit("insert", (*path, index), new[index])
    for index in reversed(range(shared, old_end)):
        yield Edit("delete", (*path, index))


def is_same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(is_same(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    return bool(left == right) and isinstance(left, str) == isinstance(right, str)


def _apply(text: str, changes: list[Edit], before: Any, after: Any) -> str:
    if is_same(before, after):
        return text
    if len(changes) <= _MAX_CHANGES:
        edited = _check(after, _splice_all, text, changes)
        for path in _list_parents(changes):
            if edited is None:
                edited = _check(after, source_splices.set_value, text, path, _read_at(after, path))
        if edited is not None:
            return edited
    anew = format_json(after, indent=2) if is_json(text) else write(after)
    return anew.replace("\n", "\r\n") if "\r\n" in text else anew


def _check(document: Any, splice: Callable[..., str | None], *arguments: Any) -> str | None:
    """Return what a splice makes, or None where that is not the document."""
    try:
        edited = splice(*arguments)
        return edited if edited is not None and is_same(read(edited), document) else None
    except (ValueError, LookupError):
        return None


def _splice_all(text: str, changes: Sequence[Edit]) -> str | None:
    edited: str | None = text
    for change in changes:
        if edited is None:
            return None
        edited = _splice(edited, change)
    return edited


def _splice(text: str, edit: Edit) -> str | None:
    if edit.op == "set":
        return source_splices.set_value(text, edit.path, edit.value)
    if edit.op == "insert":
        return source_splices.insert_item(text, edit.path, edit.value)
    if edit.op == "delete":
        return source_splices.delete(text, edit.path)
    item = edit.value if edit.value is not None else _read_at(read(text), edit.path)
    return source_splices.move_item(text, edit.path, edit.to, item)


def _list_parents(changes: Sequence[Edit]) -> Iterator[Path]:
    """Yield the values around all changes, the smallest first, without the document."""
    paths = [path for change in changes for path in (change.path, change.to) if path]
    shared = 0
    while paths and all(len(path) > shared + 1 and path[: shared + 1] == paths[0][: shared + 1] for path in paths):
        shared += 1
    for length in range(shared, 0, -1):
        yield paths[0][:length]


def _read_at(document: Any, path: Path) -> Any:
    return _resolve(document, path, path)
