"""Chooses sample values for variables from their uses: a value for which the conditions are true, of a kind that the
templates can render.

    amount gt 100 → 101    plan eq "pro" → "pro"    tags contains "lead" → ["lead"]    due | date → a time
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rules.variable_uses import VariableUse

#: A value is missing in the base of `fill`.
_MISSING = object()
#: Elements of a sample list at most.
MAX_ELEMENTS = 20

_TIME = "2026-05-04T09:00:00Z"
#: Parts of names, and the value that they suggest.
_GUESSES: tuple[tuple[tuple[str, ...], object], ...] = (
    (("email",), "ada.byron@sample.example"),
    (("phone",), "+15550190001"),
    (("url", "link", "image"), "https://example.com/sample"),
    (("amount", "price", "total", "sum", "count", "quantity", "number", "days", "age", "score"), 42),
    (("date", "time", "_at", "due"), _TIME),
    (("name",), "Ada Byron"),
)

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}


@dataclass
class _Node:
    """One variable: its own uses, and the variables within it."""

    uses: list[VariableUse] = field(default_factory=list)
    children: dict[str | int, _Node] = field(default_factory=dict)


def fill(base: Mapping[str, Any], uses: Iterable[VariableUse]) -> dict[str, Any]:
    """Return `base` with a value for each used variable, whose paths begin within `base`.

    A value of `base` stays where the uses allow it.
    """
    root = _Node()
    for use in uses:
        node = root
        for segment in use.path:
            node = node.children.setdefault(segment, _Node())
        node.uses.append(use)
    filled: dict[str, Any] = _build(root, "", dict(base))
    return filled


def _build(node: _Node, name: str, base: object) -> Any:
    if not node.children:
        return _choose(node.uses, name, base)
    if isinstance(base, (list, tuple)) or any(key in ("size", "first", "last") or isinstance(key, int)
                                              for key in node.children):  # fmt: skip
        return _build_list(node, name, base)
    fields = dict(base) if isinstance(base, Mapping) else {}
    return fields | {
        str(key): _build(child, str(key), fields.get(str(key), _MISSING)) for key, child in node.children.items()
    }


def _build_list(node: _Node, name: str, base: object) -> Any:
    if isinstance(base, (str, list)) and base:
        return base
    element = _Node()
    for key, child in node.children.items():
        if key != "size":
            element.uses += child.uses
            element.children |= child.children
    size_uses = node.children["size"].uses if "size" in node.children else []
    size = _choose(size_uses, "", _MISSING) if size_uses else 1
    count = min(MAX_ELEMENTS, int(size)) if isinstance(size, (int, float)) else 1
    contained = [use.operand for use in node.uses if use.operator == "contains"]
    return [*contained, *([_build(element, name, _MISSING)] * count)][: max(count, len(contained))]


def _choose(uses: list[VariableUse], name: str, base: object) -> Any:
    """Return the first candidate that fits the most uses."""
    candidates = [*_list_candidates(uses, base), *(_suggest(use, name) for use in uses), _guess(name)]
    return max(candidates, key=lambda candidate: sum(_fits(candidate, use) for use in uses))


def _list_candidates(uses: list[VariableUse], base: object) -> list[object]:
    """The base, and values that fit several uses at once."""
    contained = [use.operand for use in uses if use.operator == "contains"]
    candidates = [] if base is _MISSING else [base]
    if contained and isinstance(base, str):
        candidates.append(" ".join([base, *map(str, contained)]))
    if contained:
        joined: object = " ".join(map(str, contained))
        candidates += [joined, contained] if any(use.operator == "text" for use in uses) else [contained, joined]
    excluded = [str(use.operand) for use in uses if use.operator == "ne"]
    if len(excluded) > 1:
        candidates.append(f"neither {' nor '.join(excluded)}")
    lower = [use.operand for use in uses if use.operator in ("gt", "ge") and _is_number(use.operand)]
    upper = [use.operand for use in uses if use.operator in ("lt", "le") and _is_number(use.operand)]
    if lower and upper:
        candidates.append((max(lower) + min(upper)) / 2)  # type: ignore[type-var,operator]
    return candidates


def _suggest(use: VariableUse, name: str) -> object:
    operand: Any = use.operand
    match use.operator:
        case "eq" | "ge" | "le" | "within":
            return operand
        case "gt":
            return operand + 1 if _is_number(operand) else f"{operand}a"
        case "lt":
            return operand - 1 if _is_number(operand) else ""
        case "ne":
            return _differ(operand)
        case "true" | "false":
            return use.operator == "true"
        case "number":
            return 42
        case "time":
            return _TIME
        case "list":
            return [_guess(name)]
    return _guess(name)


def _differ(operand: object) -> object:
    if isinstance(operand, bool):
        return not operand
    return operand + 1 if isinstance(operand, (int, float)) else "sample"


def _guess(name: str) -> object:
    lowered = name.lower()
    for parts, suggestion in _GUESSES:
        if any(part in lowered for part in parts):
            return suggestion
    return f"Sample {lowered.replace('_', ' ')}".strip()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fits(value: Any, use: VariableUse) -> bool:
    operand: Any = use.operand
    match use.operator:
        case "eq":
            return bool(value == operand) and isinstance(value, bool) == isinstance(operand, bool)
        case "ne":
            return bool(value != operand)
        case "gt" | "ge" | "lt" | "le":
            comparable = (_is_number(value) and _is_number(operand)) or (
                isinstance(value, str) and isinstance(operand, str)
            )
            return comparable and _ORDERED[use.operator](value, operand)
        case "contains" | "excludes":
            return (isinstance(value, (str, list)) and operand in value) == (use.operator == "contains")
        case "within":
            return isinstance(value, str) and value in str(operand)
        case "true" | "false":
            return (value not in (None, False)) == (use.operator == "true")
        case "number":
            return _is_number(value)
        case "list":
            return isinstance(value, list)
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)
