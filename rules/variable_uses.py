"""Lists how conditions and templates use variables: what each is compared with, and as what kind of value.

    payload.amount > 100 and payload.tags contains 'lead'  →  amount gt 100, tags contains "lead"

Samples are chosen from these uses, so that a condition is true for them. Names of loop variables and captures are
resolved to the path that they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from liquid import RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Literal, LoopExpression, Nil, Path
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalNotExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.expression import Expression

from rules import conditions, templating

VariablePath = tuple[str | int, ...]

#: The operator of each comparison with the variable on the left, and with the variable on the right.
_OPERATORS: dict[type[Expression], tuple[str, str]] = {
    EqExpression: ("eq", "eq"),
    NeExpression: ("ne", "ne"),
    GtExpression: ("gt", "lt"),
    GeExpression: ("ge", "le"),
    LtExpression: ("lt", "gt"),
    LeExpression: ("le", "ge"),
    ContainsExpression: ("contains", "within"),
}
_NEGATED = {
    "eq": "ne", "ne": "eq", "gt": "le", "le": "gt", "ge": "lt", "lt": "ge", "contains": "excludes",
    "within": "text", "true": "false", "false": "true",
}  # fmt: skip
_NUMBER_FILTERS = frozenset({"abs", "at_least", "at_most", "ceil", "divided_by", "floor", "minus", "modulo", "plus",
                             "round", "times"})  # fmt: skip
_LIST_FILTERS = frozenset({"compact", "concat", "first", "join", "last", "map", "reverse", "sort", "sort_natural",
                           "sum", "uniq", "where"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class VariableUse:
    """One use of a variable.

    `operator` is a comparison with `operand` (eq, ne, gt, ge, lt, le, contains, excludes, within), a test (true, false)
    or the kind of value that a template needs (text, number, time, list).
    """

    path: VariablePath
    operator: str
    operand: object = None


Names = Mapping[str, VariablePath]


def list_in_condition(source: str) -> list[VariableUse]:
    """Return the uses in a condition that make it true; empty for an invalid condition."""
    if conditions.check(source):
        return []
    return list(_iter_condition(conditions.parse(source), {}, True))


def list_in_template(source: str) -> list[VariableUse]:
    """Return the uses in a template; empty for an invalid template, or a text without variables."""
    if not templating.is_template(source) or templating.check(source):
        return []
    template = templating.compile_template(source)
    context = RenderContext(template)
    return [use for node in template.nodes for use in _iter_node(node, context, {})]


def list_required(source: str) -> list[VariablePath]:
    """Return the variables that a valid template outputs and that must exist: without `default`, tested by no tag."""
    if not templating.is_template(source):
        return []
    template = templating.compile_template(source)
    nodes = list(_iter_nodes(template.nodes, RenderContext(template)))
    expressions = [expression for node in nodes for expression in node.expressions()]
    tested = [path for item in expressions if isinstance(item, BooleanExpression) for path in _list_paths(item)]
    outputs = [
        item.left
        for item in expressions
        if isinstance(item, FilteredExpression) and "default" not in {filter_.name for filter_ in item.filters or ()}
    ]
    paths = [_resolve(output, {}) for output in outputs if isinstance(output, Path)]
    return [path for path in paths if path and not any(_share_beginning(path, other) for other in tested)]


def _iter_nodes(nodes: Iterable[Node], context: RenderContext) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _iter_nodes(node.children(context), context)


def _list_paths(expression: Expression) -> list[VariablePath]:
    own = [_resolve(expression, {})] if isinstance(expression, Path) else []
    return own + [path for child in expression.children() for path in _list_paths(child)]


def _share_beginning(path: VariablePath, other: VariablePath) -> bool:
    return bool(other) and all(left == right for left, right in zip(path, other, strict=False))


def _iter_node(node: Node, context: RenderContext, names: Names) -> Iterator[VariableUse]:
    inner = dict(names)
    for expression in node.expressions():
        yield from _iter_expression(expression, names)
        if isinstance(expression, LoopExpression) and isinstance(expression.iterable, Path):
            path = _resolve(expression.iterable, names)
            inner[str(expression.identifier)] = (*path, 0) if path else ()
    for child in node.children(context):
        yield from _iter_node(child, context, inner)


def _iter_expression(expression: Expression, names: Names) -> Iterator[VariableUse]:
    if isinstance(expression, BooleanExpression):
        yield from _iter_condition(expression.expression, names, True)
    elif isinstance(expression, FilteredExpression):
        filter_names = {filter_.name for filter_ in expression.filters or ()}
        yield from _iter_variable(expression.left, names, _find_kind(filter_names))
        for argument in expression.children():
            if argument is not expression.left:
                yield from _iter_expression(argument, names)
    elif isinstance(expression, LoopExpression):
        yield from _iter_variable(expression.iterable, names, "list")
    elif isinstance(expression, Path):
        yield from _iter_variable(expression, names, "text")
    else:
        for child in expression.children():
            yield from _iter_expression(child, names)


def _find_kind(filter_names: set[str]) -> str:
    if filter_names & _NUMBER_FILTERS:
        return "number"
    if filter_names & _LIST_FILTERS:
        return "list"
    return "time" if "date" in filter_names else "text"


def _iter_condition(expression: Expression, names: Names, positive: bool) -> Iterator[VariableUse]:
    if isinstance(expression, Path):
        yield from _iter_variable(expression, names, _negate_unless("true", positive))
    elif isinstance(expression, LogicalNotExpression):
        yield from _iter_condition(expression.right, names, not positive)
    elif type(expression) in _OPERATORS:
        yield from _iter_comparison(expression, names, positive)
    else:
        for child in expression.children():
            yield from _iter_condition(child, names, positive)


def _iter_comparison(expression: Any, names: Names, positive: bool) -> Iterator[VariableUse]:
    forward, mirrored = (_negate_unless(name, positive) for name in _OPERATORS[type(expression)])
    left, right = expression.left, expression.right
    if isinstance(left, Path) and isinstance(right, Path):
        kind = "text" if forward in ("eq", "ne", "contains", "excludes") else "number"
        yield from _iter_variable(left, names, kind)
        yield from _iter_variable(right, names, kind)
    elif isinstance(left, Path):
        yield from _iter_variable(left, names, forward, _read_literal(right))
    elif isinstance(right, Path):
        yield from _iter_variable(right, names, mirrored, _read_literal(left))


def _negate_unless(operator: str, positive: bool) -> str:
    return operator if positive else _NEGATED[operator]


def _read_literal(expression: Expression) -> object:
    if isinstance(expression, (Empty, Blank)):
        return ""
    return expression.value if isinstance(expression, Literal) and not isinstance(expression, Nil) else None


def _iter_variable(
    expression: Expression, names: Names, operator: str, operand: object = None
) -> Iterator[VariableUse]:
    path = _resolve(expression, names) if isinstance(expression, Path) else ()
    if path:
        yield VariableUse(path, operator, operand)


def _resolve(expression: Path, names: Names) -> VariablePath:
    """Return the path from a root variable; empty where a segment is itself a variable."""
    segments = templating.extract_segments(expression)
    if not all(isinstance(segment, (str, int)) for segment in segments):
        return ()
    path: VariablePath = tuple(segments)  # type: ignore[arg-type]
    return (*names[str(path[0])], *path[1:]) if path[0] in names and names[str(path[0])] else path
