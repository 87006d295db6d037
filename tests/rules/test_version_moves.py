"""Which executions can continue on another version: what they passed, and where they stopped, must be unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from rules.definition import Workflow, parse
from rules.version_moves import explain_refusal

FIRST = {"id": "first", "action": "update_contact", "with": {"add_tags": ["a"]}}
SEND = {"id": "send", "action": "send_email", "with": {"subject": "Hi", "body": "Hello"}}
LATER = {"id": "later", "action": "update_contact", "with": {"add_tags": ["b"]}}
FORK = {"id": "fork", "action": "branch", "if": "contact.email == 'x'", "then": [SEND], "else": [LATER]}


def build(*steps: dict[str, Any]) -> Workflow:
    return parse({"trigger": {"type": "a"}, "steps": list(steps)})


def explain(before: Workflow, after: Workflow, **options: Any) -> str | None:
    return explain_refusal(before, after, **{"finished": {"first": {}}, "step_id": "send", **options})


@pytest.mark.parametrize(
    "after",
    [(FIRST, SEND), (FIRST, SEND, LATER), (FIRST, SEND, {**LATER, "with": {"add_tags": ["c"]}})],
)
def test_changes_after_the_failed_step_are_allowed(after: Any) -> None:
    assert explain(build(FIRST, SEND, LATER), build(*after)) is None


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ((SEND,), "no step “first”"),
        (({**FIRST, "with": {"add_tags": ["c"]}}, SEND), "“first” is different"),
        ((FIRST,), "no step “send”"),
        ((FIRST, {**SEND, "with": {"subject": "Ho", "body": "Hello"}}), "“send” is different"),
        ((FIRST, {**SEND, "on_unknown": "resend"}), "“send” is different"),
        ((FIRST, LATER, SEND), "another step before “send”"),
    ],
)
def test_a_change_up_to_the_failed_step_is_refused(after: Any, reason: str) -> None:
    refusal = explain(build(FIRST, SEND), build(*after))
    assert refusal is not None
    assert reason in refusal


def test_an_arm_that_was_not_taken_may_change() -> None:
    changed = {**FORK, "else": [{**LATER, "with": {"add_tags": ["c"]}}]}
    assert explain(build(FORK), build(changed), finished={"fork": {"taken": "then"}}) is None
    other_condition = {**FORK, "if": "contact.email == 'y'"}
    refusal = explain(build(FORK), build(other_condition), finished={"fork": {"taken": "then"}})
    assert refusal is not None
    assert "“fork” is different" in refusal


def test_a_follow_up_repeats_steps_that_are_finished() -> None:
    finished: dict[str, Any] = {"first": {}, "send": {}}
    assert explain(build(FIRST, SEND), build(FIRST, SEND, LATER), finished=finished, round=1) is None


def test_an_execution_that_failed_before_its_first_step_can_move() -> None:
    assert explain(build(FIRST), build(LATER), finished={}, step_id=None) is None
