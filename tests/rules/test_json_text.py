"""JSON in both directions: what PostgreSQL can store, and what a provider may send."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from rules.json_text import (
    clean_json,
    dump_exact_json,
    dump_json,
    dump_storable_json,
    format_json,
    has_more_values,
    load_exact_json,
    load_json,
)

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_json_has_no_spaces_and_keeps_every_character() -> None:
    assert dump_json({"name": "Zoë", "tags": ["a", 1]}) == '{"name":"Zoë","tags":["a",1]}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\x00b", '"ab"'),
        ("\ud800", '"?"'),
        ({"a\x00": ["\udfff"]}, '{"a":["?"]}'),
        ([float("inf"), float("nan")], "[null,null]"),
        (2**70, str(2**70)),
        ([2**70, float("inf")], f"[{2**70},null]"),
        ({1: True, None: 2}, '{"1":true,"null":2}'),
        ("\\u0000", r'"\\u0000"'),
    ],
)
def test_any_value_becomes_json_that_postgresql_stores(value: Any, text: str) -> None:
    assert dump_storable_json(value) == text


def test_cleaning_leaves_the_value_and_needs_no_call_for_each_level() -> None:
    value: Any = ["\x00", {"b\x00": 1}]
    for _ in range(5000):
        value = {"a": [value]}
    cleaned = clean_json(value)
    for _ in range(5000):
        cleaned, value = cleaned["a"][0], value["a"][0]
    assert (cleaned, value) == (["", {"b": 1}], ["\x00", {"b\x00": 1}])


def test_other_json_keeps_what_postgresql_cannot_store() -> None:
    assert json.loads(dump_json(["a\x00", "\ud800", 2**70])) == ["a\x00", "\ud800", 2**70]


@pytest.mark.parametrize("other", ["plain", "\x00", "\ud800"])
def test_times_are_rfc_3339_beside_any_text(other: str) -> None:
    for dump in (dump_json, dump_storable_json):
        assert json.loads(dump([NOON, date(2026, 11, 30), other]))[:2] == ["2026-11-30T12:00:00+00:00", "2026-11-30"]


@pytest.mark.parametrize("other", ["plain", "\ud800"])
def test_a_caller_encodes_other_types_itself(other: str) -> None:
    def encode(value: object) -> object:
        if isinstance(value, datetime):
            return value.hour
        raise TypeError(type(value).__name__)

    assert json.loads(dump_json([NOON, other], encode))[0] == 12
    with pytest.raises(TypeError):
        dump_json([{1, 2}, other], encode)


@pytest.mark.parametrize("text", ['{"a": [1, "\\ud800"]}', b'{"a": [1, "\\ud800"]}'])
def test_json_with_half_a_character_is_read(text: str | bytes) -> None:
    assert load_json(text) == {"a": [1, "\ud800"]}


@pytest.mark.parametrize("text", ["", "{", "one", b"\xff", "[" * 100_000, '{"a":' * 100_000])
def test_anything_else_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        load_json(text)


def test_json_for_people_has_spaces_and_lines() -> None:
    assert format_json({"a": [1, "é"]}) == '{"a": [1, "é"]}'
    assert format_json({"a": NOON}, indent=2) == '{\n  "a": "2026-11-30 12:00:00+00:00"\n}'


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b"[1,2,3]", 3),
        (b'{"a":{"b":[]}}', 3),
        (b'["a,b","[{","\\",",""]', 4),
        (b'["\\\\",1]', 2),
        (b'["unfinished, [[[', 1),
        (b'["unfinished, [[[\\', 1),
    ],
)
def test_values_are_counted_outside_of_texts(raw: bytes, count: int) -> None:
    assert has_more_values(raw, count - 1)
    assert not has_more_values(raw, count)


@pytest.mark.parametrize(
    "value", [{"a": [1, 1.0, -0.0, True, None, "é"]}, 2**64, {"n": -(2**70), "x": [0.1]}, "\ud800", {"\udfff": []}]
)
def test_exact_json_comes_back_unchanged(value: object) -> None:
    assert repr(load_exact_json(dump_exact_json(value))) == repr(value)
