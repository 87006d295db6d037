"""Compares two texts by lines, for pages and the API."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from typing import Literal

#: Unchanged lines around each change.
_CONTEXT = 3


@dataclass(frozen=True)
class DiffLine:
    """A line of a comparison with its numbers in both texts, from 1; a `gap` stands for lines that are left out."""

    kind: Literal["same", "added", "removed", "gap"]
    text: str
    before: int | None = None
    after: int | None = None


def compare_lines(before: str, after: str) -> list[DiffLine]:
    """Return the changed lines of two texts with the lines around them; empty if they have the same lines."""
    old, new = before.splitlines(), after.splitlines()
    lines: list[DiffLine] = []
    end = 0
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT):
        if group[0][1] > end:
            lines.append(DiffLine("gap", ""))
        for tag, first, last, first_new, last_new in group:
            if tag == "equal":
                lines += [
                    DiffLine("same", old[first + offset], first + offset + 1, first_new + offset + 1)
                    for offset in range(last - first)
                ]
            else:
                lines += [DiffLine("removed", old[index], index + 1) for index in range(first, last)]
                lines += [DiffLine("added", new[index], None, index + 1) for index in range(first_new, last_new)]
        end = group[-1][2]
    if lines and end < len(old):
        lines.append(DiffLine("gap", ""))
    return lines


def list_patch_lines(before: str, after: str, context: int) -> list[tuple[str, str]]:
    """Return the lines of a patch with so many lines around each change: each with `added`, `removed`, `place` or an
    empty kind."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    lines = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=context)
    return [(kinds.get(line[:1], ""), line) for line in list(lines)[2:]]
