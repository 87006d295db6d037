"""The parts of an unfinished draft that its preview executes."""

from __future__ import annotations

from typing import Any

import pytest

from rules.playbook_drafts import build_preview
from rules.validation import validate

HEADLINE = {"id": "headline", "action": "replace_text", "with": {"selector": "h1", "text": "Sale"}}


def preview(document: Any) -> dict[str, Any]:
    return build_preview(document, validate(document, automation_type="playbook"))


def test_a_valid_draft_is_previewed_as_it_would_be_served() -> None:
    document = {
        "trigger": {"type": "page", "with": {"url": "/a*", "time_on_page": "10s"}, "event": "opened"},
        "steps": [HEADLINE],
    }
    assert preview(document) == {
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
    actual = preview(document)
    assert (actual["trigger"], [action["id"] for action in actual["actions"]]) == ({"url": "/a"}, ["headline"])


@pytest.mark.parametrize(
    "document", [None, [], {}, {"trigger": 1, "steps": 2}, {"trigger": {"with": []}, "steps": [1, [], {"with": 1}]}]
)
def test_no_draft_stops_the_preview(document: Any) -> None:
    assert preview(document) == {"trigger": {}, "actions": []}


def test_a_frequency_beside_the_trigger_changes_nothing_here() -> None:
    document = {"trigger": {"type": "page"}, "frequency": {"max": 0, "per": "x"}, "steps": [HEADLINE]}
    assert [action["id"] for action in preview(document)["actions"]] == ["headline"]
