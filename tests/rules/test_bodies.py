"""A body is checked strictly and as a whole: each problem has its path, and nothing is coerced."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from rules.bodies import MAX_DEPTH, MAX_PROBLEMS, Body, ShortText, WholeNumber, check, find_invalid_values, format_name
from rules.problems import Problem


class Line(Body):
    count: WholeNumber = 0


class Order(Body):
    name: ShortText
    open: bool = True
    lines: list[Line] = Field(default=[], max_length=2)
    fields: dict[str, Any] = Field(default={})
    kind: Literal["new", "old"] = "new"
    stars: Annotated[WholeNumber, Field(ge=1, le=5)] = 1


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"name": 5}, "name", "must be a string, not a number"),
        ({"name": ""}, "name", "must not be empty"),
        ({"name": "x" * 201}, "name", "must have at most 200 characters"),
        ({"name": "a\nb"}, "name", "contains characters that are not allowed here"),
        ({"open": "yes"}, "open", "must be true or false, not a string"),
        ({"stars": "1"}, "stars", "must be a whole number, not a string"),
        ({"stars": 0}, "stars", "must be at least 1"),
        ({"stars": 6}, "stars", "must be at most 5"),
        ({"kind": "odd"}, "kind", "must be one of 'new' or 'old'"),
        ({"fields": []}, "fields", "must be an object, not a list"),
        ({"lines": {}}, "lines", "must be a list, not an object"),
        ({"lines": [{}, {}, {}]}, "lines", "must have at most 2 entries"),
        ({"lines": [{}, {"count": True}]}, "lines[1].count", "must be a whole number, not a boolean"),
        ({"nmae": "x"}, "nmae", 'unknown field "nmae"; did you mean "name"?'),
    ],
)
def test_a_wrong_field_is_reported_with_its_path(change: dict[str, Any], path: str, message: str) -> None:
    order, problems = check(Order, {"name": "x", **change}, "order")
    assert order is None
    assert problems == [Problem(f"order.{path}", message)]


def test_a_missing_field_and_another_type_are_reported() -> None:
    assert check(Order, {}) == (None, [Problem("name", "is required")])
    assert check(Order, [], "[3]") == (None, [Problem("[3]", "must be an object, not a list")])


def test_a_valid_body_becomes_the_model_and_one_point_zero_is_one() -> None:
    order, problems = check(Order, {"name": "x" * 200, "stars": 5.0, "lines": [{"count": 1.0}, {}]})
    assert problems == []
    assert order == Order(name="x" * 200, stars=5, lines=[Line(count=1), Line()])
    assert check(Order, {"name": "x", "stars": 1.5})[0] is None


def nest(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": ["x", 1.5, None, True]}, []),
        ({"a": ["x", "\0"]}, ["a[1]"]),
        ({"a": [{"b": {}}, {"b c": ["x", {"d": "\x7f"}]}]}, ['a[1]."b c"[1].d']),
        ("\0", [""]),
        ({"a": {"b\0": 1}}, ['a."b\\u0000"']),
        ({"a": [float("inf"), float("nan"), -float("inf"), 10**400]}, ["a[0]", "a[1]", "a[2]", "a[3]"]),
        (nest(MAX_DEPTH), []),
        (nest(MAX_DEPTH + 1), ["[0]" * MAX_DEPTH]),
    ],
)
def test_values_that_no_field_may_have_are_found_at_any_depth(value: object, expected: list[str]) -> None:
    assert [problem.path for problem in find_invalid_values(value)] == expected


def test_valid_values_are_checked_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.bodies._format_path", None)
    assert find_invalid_values({"a": [{"b": "ü\t\n", "c": [1, 2.5, True, None]}] * 100}) == []
    with pytest.raises(TypeError):
        find_invalid_values({"a": "\0"})


def test_the_number_of_reported_problems_is_limited() -> None:
    assert len(find_invalid_values(["\0"] * 1000)) == MAX_PROBLEMS
    assert len(check(Order, {"name": "x", **{f"f{n}": 1 for n in range(1000)}})[1]) == MAX_PROBLEMS


def test_an_unusual_name_is_quoted_in_a_path() -> None:
    assert [format_name(name) for name in ("a_b-1", "1a", "a b")] == ["a_b-1", '"1a"', '"a b"']
