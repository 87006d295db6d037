"""A definition is serialized as YAML that parses back to exactly the same document."""

from __future__ import annotations

import pytest

from models.demo.examples import EXAMPLES
from rules.parsing import read
from rules.serialization import write
from rules.source_tree import find_position, map_positions

NASTY = [
    "on", "yes", "null", "~", "true", "09:00", "1e3", "010", "1_000", "2026-05-04", "=", "<<", "- x", "a: b", "# no",
    "", " lead", "trail ", "two\nlines", "trailing \nspace", "\n", "\nfirst", "tab\there", "{{ contact.first_name }}",
    "&a *b", "“quotes”", "x" * 300, "line\u2028break", "a\n\n\nb\n",
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_round_trips(example):
    assert read(write(example.definition)) == example.definition


@pytest.mark.parametrize("text", NASTY)
def test_every_string_round_trips_as_a_string(text):
    assert read(write({"text": text, "list": [text], "deep": {"a": [{"b": text}]}})) == {
        "text": text, "list": [text], "deep": {"a": [{"b": text}]},
    }  # fmt: skip


def test_numbers_booleans_and_repeated_values_round_trip():
    twice = {"a": [1, 2.5, 1e20, True, None, -3]}
    assert read(write({"one": twice, "two": twice})) == {"one": twice, "two": twice}


def test_several_lines_are_a_block_scalar():
    assert write({"body": "Hello,\n\nyours"}) == "body: |-\n  Hello,\n\n  yours\n"


def test_a_problem_has_its_position_or_that_of_its_parent():
    positions = map_positions("trigger: {type: a}\nsteps:\n  - id: x\n    with:\n      body: b\n")
    paths = ("trigger.type", "steps[0].with.body", "steps[0].action", "rules", "")
    assert [find_position(path, positions) for path in paths] == [(1, 11), (5, 7), (3, 5), None, None]


@pytest.mark.parametrize("text", ["", "a: [", "a: *b", "[" * 5000, "- 1"])
def test_an_invalid_text_has_no_lines_and_raises_nothing(text):
    assert isinstance(map_positions(text), dict)


def test_fields_are_in_the_order_in_which_a_person_writes_them():
    document = {
        "steps": [{"id": "a", "with": {"body": "B", "subject": "S"}, "action": "send_email"}],
        "trigger": {"type": "x"},
    }
    assert write(document) == (
        "trigger:\n  type: x\nsteps:\n- id: a\n  action: send_email\n  with:\n    subject: S\n    body: B\n"
    )
