"""The differences of two definitions as sentences."""

from __future__ import annotations

from typing import Any

import pytest

from models.demo.examples import EXAMPLES
from rules.definition_changes import list_changes
from rules.line_diff import compare_lines
from rules.parsing import read

BEFORE = """
trigger: {type: contact.created, where: "payload.a > 1"}
rules: {daily_limit: 200, tags: {all: [lead]}, active_hours: {start: "09:00", end: "17:00"}}
steps:
  - {id: hello, action: send_email, with: {subject: Hi, body: B}}
  - {id: pause, action: wait, with: {for: 2h}}
  - {id: fork, action: branch, if: "true", then: [{id: deep, action: stop}]}
  - {id: test, action: split, variants: [{name: a, steps: []}, {name: b, weight: 2, steps: []}]}
"""


@pytest.mark.parametrize(
    ("old", "new", "sentences"),
    [
        ("subject: Hi", "subject: Hello", ['Step "hello": subject changed from "Hi" to "Hello"']),
        ("daily_limit: 200", "daily_limit: 100", ["Daily limit: 200 → 100"]),
        ("daily_limit: 200, ", "", ["Daily limit removed (was 200)"]),
        ("rules: {", "rules: {contact_daily_limit: 1, ", ["Daily limit per contact added: 1"]),
        ("contact.created", "order.paid", ['Trigger: "contact.created" → "order.paid"']),
        ("[lead]", "[lead, new]", ["Required tags: lead → lead, new"]),
        ('"17:00"', '"18:00"', ['End of the active hours: "17:00" → "18:00"']),
        (', where: "payload.a > 1"', "", ['Condition of the trigger removed (was "payload.a > 1")']),
        ("  - {id: pause, action: wait, with: {for: 2h}}\n", "", ['Step "pause" removed']),
        ("  - {id: fork", "  - {id: x, action: stop}\n  - {id: fork", ['Step "x" (stop) added after "pause"']),
        ("then: [", "then: [{id: x, action: stop}, ", ['Step "x" (stop) added at the beginning of "then" of "fork"']),
        ("steps:\n", "steps:\n  - {id: x, action: stop}\n", ['Step "x" (stop) added at the beginning']),
        ("weight: 2", "weight: 3", ['Step "test": variants.b.weight changed from 2 to 3']),
        ("{id: pause, action: wait, with: {for: 2h}}", "{id: pause, action: stop}",
         ['Step "pause": action changed from "wait" to "stop"', 'Step "pause": for removed (was "2h")']),
        ("name: a, steps: []", "name: a, steps: [{id: x, action: stop}]",
         ['Step "x" (stop) added at the beginning of variant "a" of "test"']),
        ("body: B}", "body: B}, retry: {max: 1}", ['Step "hello": retry.max added: 1']),
        ("trigger: {", "topic: News\ntrigger: {", ['Topic added: "News"']),
    ],
)  # fmt: skip
def test_each_change_is_a_sentence(old: str, new: str, sentences: list[str]) -> None:
    after = BEFORE.replace(old, new, 1)
    before_document: Any = read(BEFORE)
    after_document: Any = read(after)
    assert after != BEFORE
    assert [change.sentence for change in list_changes(before_document, after_document)] == sentences


def test_a_moved_step_is_named_once_with_its_new_place() -> None:
    before: Any = read(BEFORE)
    after: Any = read(BEFORE)
    after["steps"].append(after["steps"].pop(0))
    assert [change.sentence for change in list_changes(before, after)] == ['Step "hello" moved after "test"']
    nested: Any = read(BEFORE)
    nested["steps"][2]["then"].append(nested["steps"].pop(1))
    (change,) = list_changes(before, nested)
    assert (change.sentence, change.path) == ('Step "pause" moved after "deep"', "steps[1].then[1]")


@pytest.mark.parametrize("document", [{}, {"steps": 1}, {"steps": [1, {}]}, {"rules": None, "trigger": []}])
def test_documents_with_problems_are_compared_too(document: dict[str, Any]) -> None:
    before: Any = read(BEFORE)
    assert list_changes(before, document)
    assert list_changes(document, document) == []
    for example in EXAMPLES:
        assert list_changes(example.definition, example.definition) == []


def test_lines_are_compared_with_their_surroundings() -> None:
    before = "".join(f"line {number}\n" for number in range(1, 20))
    lines = compare_lines(before, before.replace("line 10\n", "line ten\nline more\n"))
    assert [line.kind for line in lines] == ["gap", *["same"] * 3, "removed", "added", "added", *["same"] * 3, "gap"]
    assert [(line.before, line.after) for line in lines if line.kind == "added"] == [(None, 10), (None, 11)]
    assert compare_lines("a\r\nb", "a\nb\n") == []
