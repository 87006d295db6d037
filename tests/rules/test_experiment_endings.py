"""The end of an experiment: one variant's steps stand where the split was, wherever that is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from rules.experiment_endings import list_edits, list_splits, replace_split
from rules.parsing import read
from rules.serialization import write
from rules.source_edits import edit_text

A, B = {"id": "a", "action": "send_sms"}, {"id": "b", "action": "send_email"}
FIRST, LAST = {"id": "first", "action": "wait"}, {"id": "last", "action": "notify"}
SPLIT: dict[str, Any] = {
    "id": "fork", "action": "split",
    "variants": [{"name": "short", "weight": 1, "steps": [A]}, {"name": "long", "steps": [B, LAST]}, {"name": "none"}],
}  # fmt: skip


def build(*steps: Any) -> dict[str, Any]:
    return {"trigger": {"type": "contact.created"}, "steps": [deepcopy(step) for step in steps]}


@pytest.mark.parametrize(("variant", "steps"), [("short", [A]), ("long", [B, LAST]), ("none", [])])
def test_the_steps_of_the_variant_stand_where_the_split_was(variant: str, steps: list[Any]) -> None:
    before = build(FIRST, SPLIT, {"id": "end", "action": "stop"})
    kept = deepcopy(before)
    after = replace_split(before, "fork", variant)
    assert after == build(FIRST, *steps, {"id": "end", "action": "stop"})
    assert before == kept
    assert read(edit_text(write(before), list_edits(before, "fork", variant))) == after


@pytest.mark.parametrize(
    "wrap",
    [
        lambda steps: {"id": "x", "action": "branch", "if": "true", "then": steps},
        lambda steps: {"id": "x", "action": "branch", "if": "true", "then": [FIRST], "else": steps},
        lambda steps: {"id": "x", "action": "wait_until", "with": {"event": "contact.replied", "then": steps}},
        lambda steps: {"id": "x", "action": "split", "variants": [{"name": "v", "steps": steps}, {"name": "w"}]},
        lambda steps: {"id": "x", "action": "split", "with": {"variants": [{"name": "v", "steps": steps}]}},
    ],
)
def test_a_split_within_an_arm_is_replaced_there(wrap: Any) -> None:
    before, after = build(wrap([SPLIT, FIRST])), build(wrap([A, FIRST]))
    assert replace_split(before, "fork", "short") == after
    assert read(edit_text(write(before), list_edits(before, "fork", "short"))) == after
    assert "fork" in [split.step_id for split in list_splits(build(wrap([SPLIT])))]


@pytest.mark.parametrize(
    "definition", [{}, {"steps": None}, {"steps": ["text", 7, {"action": "split", "id": "other", "variants": "no"}]}]
)
def test_a_definition_without_the_split_or_the_variant_has_no_end(definition: dict[str, Any]) -> None:
    assert replace_split(definition, "fork", "short") is None
    assert replace_split(build(SPLIT), "fork", "unknown") is None
    assert list_edits(definition, "fork", "short") == list_edits(build(SPLIT), "fork", "unknown") == []
