"""Changes one value in a definition's text: set a field, insert, delete or move an item. Other lines stay as they are.

Each function returns the new text, or None where the text is written in a way that it cannot change in place.
`rules/source_edits` checks each result, so a function here may be wrong about rare spellings, but not silently.
"""

from __future__ import annotations

import re
from typing import Any

from rules.serialization import rank_field
from rules.source_format import SourceFormat, find_format
from rules.source_tree import Entry, Path, SourceTree, Value, build_tree

_COMMENT = re.compile(r"[ \t]+#[^\r\n]*")


def set_value(text: str, path: Path, value: Any) -> str | None:
    """Replace the value at a path, or add the field that the path names."""
    tree = build_tree(text)
    if not path:
        return None
    entry, parent = tree.find_entry(path), tree.find(path[:-1])
    form = find_format(tree)
    if entry is not None and parent is not None:
        return _replace(tree, form, parent, entry, value)
    if parent is None or parent.kind != "object" or not isinstance(path[-1], str):
        return None
    if not parent.entries and len(path) > 1:
        return set_value(text, path[:-1], {path[-1]: value})
    return _add_field(tree, form, parent, path[-1], value)


def insert_item(text: str, path: Path, value: Any) -> str | None:
    """Insert an item into a list before the index that ends the path; its length appends."""
    tree, index = build_tree(text), int(path[-1])
    parent = tree.find(path[:-1])
    if parent is None or not parent.entries:
        return set_value(text, path[:-1], [value])
    form = find_format(tree)
    if parent.style:
        lines = form.write_flow(value, indented=_is_in_lines(tree, parent))
        return _insert_flow(tree, parent, index, form.newline.join(_indent_rest(lines, _find_column(tree, parent))))
    column = tree.get_column(parent.entries[0].start)
    return _insert_lines(tree, form, parent, index, _indent(form.write_item(value), column))


def delete(text: str, path: Path) -> str | None:
    """Delete a field of an object or an item of a list."""
    tree = build_tree(text)
    parent, entry = tree.find(path[:-1]), tree.find_entry(path)
    if parent is None or entry is None:
        return None
    if len(parent.entries) == 1:
        return set_value(text, path[:-1], [] if parent.kind == "list" else {})
    if parent.style:
        return _delete_flow(text, parent, parent.entries.index(entry))
    start, end = _find_region(tree, parent, entry)
    if not tree.text[tree.find_line_start(entry.start) : entry.start].strip():
        return text[:start] + text[end:]
    # The first field of an item stands beside its dash: the next one takes its place.
    following = parent.entries[parent.entries.index(entry) + 1]
    return text[: entry.start] + text[following.start :]


def move_item(text: str, path: Path, target: Path, value: Any) -> str | None:
    """Move an item of a list to the path that it has afterwards, with its comments; `value` is the item."""
    tree = build_tree(text)
    parent, entry = tree.find(path[:-1]), tree.find_entry(path)
    if parent is None or entry is None:
        return None
    lines = _copy_lines(tree, parent, entry)
    rest = delete(text, path)
    if rest is None or lines is None:
        return rest and insert_item(rest, target, value)
    return _insert_copy(rest, target, value, lines) or insert_item(rest, target, value)


def _insert_copy(text: str, target: Path, value: Any, lines: list[str]) -> str | None:
    tree = build_tree(text)
    parent = tree.find(target[:-1])
    if parent is None or not parent.entries:
        # An item in other words makes the list, and gives its place to the lines.
        with_item = insert_item(text, target, value)
        copied = with_item and _insert_copy(with_item, (*target[:-1], 1), value, lines)
        return copied and delete(copied, (*target[:-1], 0))
    if parent.style:
        return None
    column = tree.get_column(parent.entries[0].start)
    return _insert_lines(tree, find_format(tree), parent, int(target[-1]), _indent(lines, column))


def _copy_lines(tree: SourceTree, parent: Value, entry: Entry) -> list[str] | None:
    """Return the lines of an item with its comments, as if its dash were in the first column; None within a line."""
    column = tree.get_column(entry.start)
    if parent.style or tree.text[tree.find_line_start(entry.start) : entry.start].strip():
        return None
    start, end = _find_region(tree, parent, entry)
    lines = re.split(r"\r\n|\r|\n", tree.text[start:end])
    lines = lines[:-1] if not lines[-1] else lines
    return [line[column:] if not line[:column].strip() else line.lstrip() for line in lines]


def _replace(tree: SourceTree, form: SourceFormat, parent: Value, entry: Entry, value: Any) -> str:
    text, old = tree.text, entry.value
    if parent.style or tree.is_json:
        lines = form.write_flow(value, old.style, indented=_is_in_lines(tree, old) or _is_in_lines(tree, parent))
        return _join(text, old.start, form.newline.join(_indent_rest(lines, _find_column(tree, parent))), old.end)
    style = old.style if old.kind == "scalar" else ""
    is_item = parent.kind == "list"
    lines = form.write_item(value, style) if is_item else form.write_field("k", value, style)
    head, rest = lines[0].removeprefix("-" if is_item else "k:"), lines[1:]
    column = tree.get_column(entry.start)
    if not rest and old.start < old.end and tree.find_line_end(entry.start) >= old.start:
        return _join(text, old.start, head.lstrip(" "), old.end)
    end = tree.find_line_end(old.end)
    tail = text[old.end : end]
    comment = tail if _COMMENT.fullmatch(tail) else ""
    end = end if comment else old.end
    return _join(text, entry.head_end, form.newline.join([head + comment, *_indent(rest, column)]), end)


def _add_field(tree: SourceTree, form: SourceFormat, parent: Value, name: str, value: Any) -> str:
    text = tree.text
    if parent.style:
        return _add_flow_field(tree, form, parent, name, value)
    before = [entry for entry in parent.entries if rank_field(str(entry.name)) <= rank_field(name)]
    # Beside a dash stands the first field; what would come before it comes after it.
    previous = parent.entries[max((parent.entries.index(entry) for entry in before), default=0)]
    column = tree.get_column(parent.entries[0].start)
    end = tree.find_line_end(previous.value.end)
    lines = _indent(form.write_field(name, value), column)
    return _join(text, end, "".join(form.newline + line for line in lines), end)


def _add_flow_field(tree: SourceTree, form: SourceFormat, parent: Value, name: str, value: Any) -> str:
    is_in_lines = _is_in_lines(tree, parent)
    lines = form.write_flow(value, indented=is_in_lines)
    field = form.write_flow_key(name) + form.newline.join(_indent_rest(lines, _find_column(tree, parent)))
    if not parent.entries:
        return _join(tree.text, parent.start, f"{{{field}}}", parent.end)
    return _insert_flow(tree, parent, len(parent.entries), field)


def _insert_flow(tree: SourceTree, parent: Value, index: int, item: str) -> str:
    """Insert an entry between brackets or braces, in a line of its own where its neighbours have one."""
    text, entries = tree.text, parent.entries
    gap = " "
    if _is_in_lines(tree, parent):
        gap = tree.newline + " " * _find_column(tree, parent)
    elif len(entries) > 1:
        between = text[entries[0].value.end : entries[1].start]
        gap = "" if between.strip() == "," and between == "," else " "
    if index < len(entries):
        start = entries[index].start
        return _join(text, start, f"{item},{gap}", start)
    end = entries[-1].value.end
    return _join(text, end, f",{gap}{item}", end)


def _delete_flow(text: str, parent: Value, index: int) -> str:
    entries = parent.entries
    if index + 1 < len(entries):
        return text[: entries[index].start] + text[entries[index + 1].start :]
    return text[: entries[index - 1].value.end] + text[entries[index].value.end :]


def _insert_lines(tree: SourceTree, form: SourceFormat, parent: Value, index: int, lines: list[str]) -> str | None:
    """Insert the lines of an item, with an empty line between where its neighbours have one."""
    text, entries = tree.text, parent.entries
    block = form.newline.join(lines)
    gap = form.newline if _is_spaced(tree, parent) else ""
    if index < len(entries):
        start = _find_region(tree, parent, entries[index])[0]
        if text[tree.find_line_start(entries[index].start) : entries[index].start].strip():
            return None
        return _join(text, start, block + form.newline + gap, start)
    end = tree.find_line_end(entries[-1].value.end)
    return _join(text, end, form.newline + gap + block, end)


def _is_spaced(tree: SourceTree, parent: Value) -> bool:
    """Whether an empty line stands between the first items of a list."""
    if len(parent.entries) < 2:
        return False
    between = tree.text[parent.entries[0].value.end : parent.entries[1].start]
    return re.search(r"(?:\r\n|\r|\n)[ \t]*(?:\r\n|\r|\n)", between) is not None


def _find_region(tree: SourceTree, parent: Value, entry: Entry) -> tuple[int, int]:
    """Return the lines of an entry: from the comments right above it to the end of its last line."""
    index = parent.entries.index(entry)
    lowest = tree.find_next_line(parent.entries[index - 1].value.end) if index else 0
    start, column = tree.find_line_start(entry.start), tree.get_column(entry.start)
    while start > lowest:
        above = tree.find_line_start(start - (2 if tree.text[start - 2 : start] == "\r\n" else 1))
        line = tree.text[above:start]
        if above < lowest or not line.lstrip().startswith("#") or len(line) - len(line.lstrip()) != column:
            break
        start = above
    return start, tree.find_next_line(entry.value.end)


def _is_in_lines(tree: SourceTree, value: Value) -> bool:
    """Whether the entries of a collection between brackets or braces begin in lines of their own."""
    if not value.style or not value.entries:
        return False
    return tree.find_line_start(value.entries[0].start) > value.start


def _find_column(tree: SourceTree, parent: Value) -> int:
    """Return the indentation of the line in which the first entry of a collection is."""
    start = tree.find_line_start(parent.entries[0].start if parent.entries else parent.start)
    line = tree.text[start : tree.find_line_end(start)]
    return len(line) - len(line.lstrip())


def _indent(lines: list[str], column: int) -> list[str]:
    return [" " * column + line if line else line for line in lines]


def _indent_rest(lines: list[str], column: int) -> list[str]:
    return [*lines[:1], *_indent(lines[1:], column)]


def _join(text: str, start: int, middle: str, end: int) -> str:
    return text[:start] + middle + text[end:]
