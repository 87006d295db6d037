"""Evaluates conditions: Liquid's boolean expressions, compiled once into plain functions.

    contact.tags contains 'lead' and payload.amount > 100

As in Liquid, `and` and `or` have the same precedence and associate from right to left; parentheses group, `not`
negates. A missing name is nil. Values of different types are never equal and never ordered, so comparing them is
false, and a condition always has a result. Liquid parses it (with the environment of `rules/templating`); it is
evaluated here because Liquid's own comparison of different types raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from liquid import TokenStream
from liquid.builtin.expressions import BooleanExpression, Literal, Nil, Path, tokenize
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalNotExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.token import TOKEN_EXPRESSION, Token

from rules.errors import InvalidRequest
from rules.template_source import quote_keywords_in
from rules.templating import ENVIRONMENT, Segments, extract_segments, format_error

#: Maximum characters and tokens of a condition: each token may cost a few frames of Python's stack.
MAX_LENGTH = 4096
MAX_TOKENS = 250

Predicate = Callable[[Mapping[str, object]], object]


def evaluate(source: str, facts: Mapping[str, object]) -> bool:
    """Whether the condition is true for these facts. Raises `InvalidRequest` if it is not a condition."""
    try:
        return is_truthy(_compile(source)(facts))
    except ValueError as error:
        raise InvalidRequest(f"the condition {source[:200]!r} is invalid: {error}") from None


def check(source: str) -> str | None:
    """Return why this is not a valid condition, or None."""
    try:
        _compile(source)
    except ValueError as error:
        return str(error)
    return None


def list_variables(source: str) -> list[Segments]:
    """Return the variables of a valid condition, each as its segments: `["contact", "tags"]`."""
    return list(_find_variables(source))


def is_constant(source: str) -> bool:
    """Whether a valid condition has no variable although it is more than a literal, such as `1 > 2`."""
    return not isinstance(parse(source), Literal) and not list_variables(source)


def is_truthy(value: object) -> bool:
    """Whether Liquid treats the value as true: everything except nil and false."""
    return value is not None and value is not False


@lru_cache(maxsize=4096)
def _find_variables(source: str) -> tuple[Segments, ...]:
    return tuple(extract_segments(path) for path in _find_paths(parse(source)))


@lru_cache(maxsize=4096)
def _compile(source: str) -> Predicate:
    return _build_predicate(parse(source))


def parse(source: str) -> Expression:
    """Return the expression of a condition. Raises `ValueError` if it is not a valid one."""
    if not source.strip():
        raise ValueError("must not be empty")
    if len(source) > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    if "{{" in source or "{%" in source:
        raise ValueError("is a bare expression: write it without {{ }} and {% %}")
    try:
        text = quote_keywords_in(source)
        tokens = list(tokenize(text, Token(TOKEN_EXPRESSION, text, 0, text)))
        if len(tokens) > MAX_TOKENS:
            raise ValueError(f"must have at most {MAX_TOKENS} tokens")
        return BooleanExpression.parse(ENVIRONMENT, TokenStream(iter(tokens))).expression
    except LiquidError as error:
        raise ValueError(format_error(error)) from None


def _find_paths(expression: Expression) -> list[Path]:
    paths = [expression] if isinstance(expression, Path) else []
    return paths + [path for child in expression.children() for path in _find_paths(child)]


def _build_predicate(expression: Expression) -> Predicate:
    """Compile the expression into a function of the facts."""
    if isinstance(expression, Path):
        return _build_lookup(expression)
    if isinstance(expression, Nil):
        return lambda _facts: None
    if isinstance(expression, (Empty, Blank)):
        return lambda _facts: expression
    if isinstance(expression, Literal):
        value = expression.value
        return lambda _facts: value
    if isinstance(expression, LogicalNotExpression):
        inner = _build_predicate(expression.right)
        return lambda facts: not is_truthy(inner(facts))
    if isinstance(expression, (LogicalAndExpression, LogicalOrExpression)):
        return _build_logical(expression)
    for kind, compare in _COMPARISONS.items():
        if isinstance(expression, kind):
            return _build_comparison(compare, _build_predicate(expression.left), _build_predicate(expression.right))
    raise ValueError(f"contains an unsupported expression: {expression}")


def _build_logical(expression: LogicalAndExpression | LogicalOrExpression) -> Predicate:
    left, right = _build_predicate(expression.left), _build_predicate(expression.right)
    if isinstance(expression, LogicalAndExpression):
        return lambda facts: is_truthy(left(facts)) and is_truthy(right(facts))
    return lambda facts: is_truthy(left(facts)) or is_truthy(right(facts))


def _build_comparison(compare: Callable[[Any, Any], bool], left: Predicate, right: Predicate) -> Predicate:
    return lambda facts: compare(left(facts), right(facts))


def _build_lookup(path: Path) -> Predicate:
    keys = [_build_predicate(part) if isinstance(part, Path) else part for part in path.path]

    def lookup(facts: Mapping[str, object]) -> object:
        value: object = facts
        for key in keys:
            value = get_item(value, key(facts) if callable(key) else key)
        return value

    return lookup


def get_item(value: object, key: object) -> object:
    """Return `value.key` as Liquid resolves it, including `size`, `first` and `last`; None if it is missing."""
    if isinstance(value, Mapping) and isinstance(key, str) and key in value:
        return value[key]
    if key == "size" and isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    if not isinstance(value, (list, tuple)):
        return None
    index = {"first": 0, "last": -1}.get(key) if isinstance(key, str) else key
    if isinstance(index, bool) or not isinstance(index, int) or not -len(value) <= index < len(value):
        return None
    return value[index]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_equal(left: object, right: object) -> bool:
    if isinstance(left, (Empty, Blank)):
        left, right = right, left
    if isinstance(right, Empty):
        return isinstance(left, (str, list, tuple, Mapping)) and not left
    if isinstance(right, Blank):
        return left is None or left is False or (isinstance(left, (str, list, tuple, Mapping)) and not _strip(left))
    if _is_number(left) and _is_number(right):
        return left == right
    return type(left) is type(right) and left == right


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _is_less(left: Any, right: Any) -> bool:
    if (isinstance(left, str) and isinstance(right, str)) or (_is_number(left) and _is_number(right)):
        return bool(left < right)
    return False


def _is_at_most(left: Any, right: Any) -> bool:
    if (isinstance(left, str) and isinstance(right, str)) or (_is_number(left) and _is_number(right)):
        return bool(left <= right)
    return False


def _contains(left: object, right: object) -> bool:
    if isinstance(left, str):
        return isinstance(right, str) and right in left
    if isinstance(left, Mapping):
        return isinstance(right, str) and right in left
    if isinstance(left, (list, tuple)):
        return any(_is_equal(element, right) for element in left)
    return False


_COMPARISONS: dict[Any, Callable[[Any, Any], bool]] = {
    EqExpression: _is_equal,
    NeExpression: lambda left, right: not _is_equal(left, right),
    LtExpression: _is_less,
    LeExpression: _is_at_most,
    GtExpression: lambda left, right: _is_less(right, left),
    GeExpression: lambda left, right: _is_at_most(right, left),
    ContainsExpression: _contains,
}
