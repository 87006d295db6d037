"""A valid condition always has a result; an invalid one is rejected with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.conditions import check, evaluate, list_variables
from rules.errors import InvalidRequest

FACTS: dict[str, Any] = {
    "contact": {"tags": ["lead"], "first_name": None, "attributes": {"plan": "pro", "age": 41}},
    "payload": {"amount": 150, "items": [1, 2], "none": [], "note": " ", "index": 1, "key": "plan", "off": False},
}


@pytest.mark.parametrize(
    "source",
    [
        "contact.tags contains 'lead' and payload.amount > 100",
        "contact.attributes.plan == 'pro'",
        "payload.amount == 150.0",
        "payload['amount'] >= 150",
        "payload.items.size == 2",
        "payload.items[0] == 1 and payload.items.last == 2",
        "payload.none == empty and payload.note == blank and contact.first_name == blank",
        "not payload.unknown",
        "payload.unknown == nil",
        "contact.first_name == nil",
        "contact.attributes.plan contains 'r'",
        "(payload.amount < 100 or payload.amount > 140) and contact.attributes.age > 40",
        "payload.amount != 'x'",
        "-1 < 0",
        "payload.items.first == 1 and payload.items[-2] == 1 and payload.items[-1] == 2",
        "payload.items[payload.index] == 2 and contact.attributes[payload.key] == 'pro'",
        "payload.amount or false",
        "false or payload.amount",
        "not payload.off",
        "payload.off == blank",
        "payload.amount <= 150 and payload.amount >= 150",
    ],
)
def test_a_true_condition_holds(source: str) -> None:
    assert check(source) is None
    assert evaluate(source, FACTS) is True


@pytest.mark.parametrize(
    "source",
    [
        "payload.unknown.deeper > 3",
        "payload.amount > 'x'",
        "payload.amount < 'x'",
        "contact.tags > 1",
        "1 == true",
        "'1' == 1",
        "contact contains 1",
        "payload.amount contains 1",
        "payload.items[7] == 1",
        "nil > 1 or nil <= 1",
        "payload.items[2] == 2",
        "payload.items[-3] == 1",
        "payload.items.first == 2",
        "payload.items['middle'] == 1",
        "payload.amount == blank",
        "payload.amount == empty",
    ],
)
def test_missing_values_and_other_types_are_never_equal_or_ordered(source: str) -> None:
    assert evaluate(source, FACTS) is False


@pytest.mark.parametrize(
    "source",
    [
        "not payload.amount",
        "not contact.tags",
        "payload.off or false",
        "payload.amount and payload.off",
        "payload.off and payload.amount",
        "payload.amount < 150",
        "payload.amount > 150",
        "contact.attributes.plan contains 'x'",
        "contact.tags contains 'customer'",
        "contact.attributes[payload.amount] == 'pro'",
    ],
)
def test_a_false_condition_does_not_hold(source: str) -> None:
    assert evaluate(source, FACTS) is False


def test_and_and_or_associate_from_right_to_left_as_in_liquid() -> None:
    assert evaluate("false and false or true", {}) is False
    assert evaluate("(false and false) or true", {}) is True


@pytest.mark.parametrize(
    "source",
    [
        "",
        " ",
        "a b",
        "a =",
        "a = 1",
        "a ==",
        "(a",
        "a)",
        "'a' == 'b",
        "a | size > 1",
        "a && b",
        "{{ a }} == 1",
        "{% a %}",
    ],
)
def test_an_invalid_condition_is_rejected(source: str) -> None:
    assert check(source)
    with pytest.raises(InvalidRequest):
        evaluate(source, FACTS)


@pytest.mark.parametrize("source", ["(" * 2000, "not " * 1000 + "a", "a and " * 600 + "a", "a" * 5000])
def test_the_size_of_a_condition_is_bounded(source: str) -> None:
    assert check(source)


def test_the_variables_of_a_condition_are_listed() -> None:
    assert list_variables("contact.tags contains payload[contact.id] or 'x' == now") == [
        ["contact", "tags"],
        ["payload", ["contact", "id"]],
        ["contact", "id"],
        ["now"],
    ]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab.[]()'\"= <>!&|{}%0123456789-\n nottrueandorcontains", max_size=60))
def test_any_text_is_evaluated_or_rejected(source: str) -> None:
    if check(source) is None:
        assert evaluate(source, {"a": 1, "b": {"a": [1]}}) in (True, False)


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(left=_ANY_JSON, right=_ANY_JSON, sign=st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "contains"]))
def test_any_two_values_compare(left: object, right: object, sign: str) -> None:
    assert evaluate(f"payload.left {sign} payload.right", {"payload": {"left": left, "right": right}}) in (True, False)
