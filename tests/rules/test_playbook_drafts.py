"""The parts of an unfinished draft that its preview executes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rules.playbook_drafts import build_preview

HEADLINE = {"id": "headline", "action": "replace_text", "with": {"selector": "h1", "text": "Sale"}}


def test_a_valid_draft_is_previewed_as_it_would_be_served() -> None:
    document = {
        "trigger": {"type": "page", "with": {"url": "/a*", "time_on_page": "10s"}, "event": "opened"},
        "steps": [HEADLINE],
    }
    assert build_preview(document) == {
        "trigger": {"url": "/a*", "timeOnPageMs": 10_000, "event": "opened"},
        "actions": [{**HEADLINE, "name": "Replace Text"}],
    }


def test_what_has_a_problem_is_left_out() -> None:
    steps = [
        {"id": "a", "action": "set_attribute", "with": {"selector": "a", "name": "onclick", "value": "alert(1)"}},
        {"id": "b", "action": "redirect", "with": {"url": "javascript:alert(1)"}},
        {"id": "c", "action": "replace_text", "with": {"selector": "h1["}},
        {"id": "d", "action": "send_email", "with": {"subject": "x", "body": "x"}},
        HEADLINE,
    ]
    document = {"trigger": {"type": "page", "with": {"scroll_depth": 101, "url": "/a"}}, "steps": steps}
    actual = build_preview(document)
    assert (actual["trigger"], [action["id"] for action in actual["actions"]]) == ({"url": "/a"}, ["headline"])


SCRIPT = {"id": "script", "action": "set_attribute", "with": {"selector": "a", "name": "onclick", "value": "alert(1)"}}


@pytest.mark.parametrize(
    "part",
    [
        {"x": 2**70}, {"x": "a\x01"}, {"x": "a" * 300_000}, {"x": [[[[[[[[json.loads("[" * 60 + "]" * 60)]]]]]]]]},
        {"trigger": {"type": "page", "with": {"time_on_page": {}, "url": "/a\x01"}}},
    ],
)  # fmt: skip
def test_a_part_that_ends_the_validation_of_a_draft_lets_nothing_else_through(part: dict[str, Any]) -> None:
    steps = [SCRIPT, {"action": "redirect"}, {"id": 5, "action": "hide"}, HEADLINE, {**HEADLINE, "id": "a\x01"}]
    actual = build_preview({"trigger": {"type": "page"}, "steps": steps, **part})
    assert (actual["trigger"], [action["id"] for action in actual["actions"]]) == ({}, ["headline"])


def test_the_problems_of_many_actions_let_no_further_one_through() -> None:
    steps = [{**SCRIPT, "id": f"a{index}"} for index in range(99)] + [HEADLINE, HEADLINE, SCRIPT]
    actual = build_preview({"trigger": {"type": "page"}, "steps": steps})
    assert [action["id"] for action in actual["actions"]] == ["headline"]


@pytest.mark.parametrize(
    "document", [None, [], {}, {"trigger": 1, "steps": 2}, {"trigger": {"with": []}, "steps": [1, [], {"with": 1}]}]
)
def test_no_draft_stops_the_preview(document: Any) -> None:
    assert build_preview(document) == {"trigger": {}, "actions": []}


def test_a_frequency_beside_the_trigger_changes_nothing_here() -> None:
    document = {"trigger": {"type": "page"}, "frequency": {"max": 0, "per": "x"}, "steps": [HEADLINE]}
    assert [action["id"] for action in build_preview(document)["actions"]] == ["headline"]
