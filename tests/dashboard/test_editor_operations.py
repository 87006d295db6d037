"""The workflow editor's operations on a definition's text: what they add, remove and move, and what they leave."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.pages.editor_operations import plan_operation
from dashboard.pages.editor_tree import resolve
from rules.actions import WORKFLOW_ACTIONS
from rules.parsing import read
from rules.source_edits import edit_text
from rules.validation import validate

TEXT = """\
# What we send first.
trigger: {type: lead.scored}
steps:
  - id: hello   # the first
    action: send_email
    with: {subject: Hi, body: "Hi!"}

  - id: fork
    action: branch
    if: contact.tags contains 'lead'
    then:
      - id: inner
        action: send_sms
        with:
          body: Hello
  # At the end.
  - id: last
    action: stop
"""


def list_ids(document: Any) -> list[Any]:
    """The steps' ids, those of `then` in a list after their step's."""
    ids: list[Any] = []
    for step in document["steps"] if isinstance(document, dict) else document:
        ids.append(step["id"])
        if step.get("then"):
            ids.append(list_ids(step["then"]))
    return ids


def run(operation: str, part: str = "trigger", text: str = TEXT) -> tuple[str, Any, str]:
    """The text, its document, and the part that is open after the operation."""
    planned = plan_operation(read(text), part, operation)
    changed = edit_text(text, planned.edits)
    return changed, read(changed), planned.part


@pytest.mark.parametrize(
    ("operation", "ids", "part"),
    [
        ("up:steps[1]", ["fork", ["inner"], "hello", "last"], "steps[0]"),
        ("down:steps[0]", ["fork", ["inner"], "hello", "last"], "steps[1]"),
        ("remove:steps[2]", ["hello", "fork", ["inner"]], "steps[1]"),
        ("remove:steps[1].then[0]", ["hello", "fork", "last"], "steps[1]"),
        ("duplicate:steps[0]", ["hello", "hello_2", "fork", ["inner"], "last"], "steps[1]"),
        ("duplicate:steps[1]", ["hello", "fork", ["inner"], "fork_2", ["inner_2"], "last"], "steps[2]"),
        ("add:steps:0:stop", ["stop", "hello", "fork", ["inner"], "last"], "steps[0]"),
        ("add:steps[1].then:1:wait", ["hello", "fork", ["inner", "wait"], "last"], "steps[1].then[1]"),
        ("move:steps[2]>steps[1].then:0", ["hello", "fork", ["last", "inner"]], "steps[1].then[0]"),
        ("move:steps[0]>steps[1].then:1", ["fork", ["inner", "hello"], "last"], "steps[0].then[1]"),
        ("move:steps[1].then[0]>steps:0", ["inner", "hello", "fork", "last"], "steps[0]"),
        ("move:steps[0]>steps:3", ["fork", ["inner"], "last", "hello"], "steps[2]"),
    ],
)
def test_an_operation_moves_what_it_names_and_opens_it(operation: str, ids: list[Any], part: str) -> None:
    text, document, opened = run(operation)
    assert list_ids(document) == ids
    assert opened == part
    assert text.startswith("# What we send first.\ntrigger: {type: lead.scored}\n"), "lines elsewhere stay"


@pytest.mark.parametrize(
    "operation",
    [
        "", "up:steps[0]", "down:steps[2]", "up:steps[9]", "remove:steps[1].then[7]", "remove:trigger",
        "duplicate:rules",
        "move:steps[1]>steps[1].then:0", "move:steps[0]>steps:9", "move:steps[0]>steps:0", "move:steps[0]>steps:1",
        "add:steps:0:send_fax", "add:steps:0:replace_text", "add:steps[0].then.x:0:wait", "add:rules:0:wait",
        "add:steps[7].then:0:wait", "add:steps:99999999:wait", "add_row:with.body", "remove_row:with.buttons[0]",
        "select:steps[9]", "select:steps[0].with", "choose:steps[8].then:0", "explode:steps[0]", "move:>", "up:",
        "remove:steps[0]>", "add::::", "remove_row:x", "remove_row:with[0", "add_row:../steps",
    ],
)  # fmt: skip
def test_an_operation_that_does_not_apply_changes_nothing(operation: str) -> None:
    text, _, part = run(operation, "steps[0]")
    assert (text, part) == (TEXT, "steps[0]")


def test_a_step_is_added_to_a_path_that_has_none_yet() -> None:
    _, document, part = run("add:steps[1].else:0:stop")
    assert document["steps"][1]["else"] == [{"id": "stop", "action": "stop"}]
    assert part == "steps[1].else[0]"


@pytest.mark.parametrize("action", WORKFLOW_ACTIONS)
def test_every_new_step_is_valid_but_for_the_steps_within(action: str) -> None:
    _, document, part = run(f"add:steps:1:{action}")
    assert resolve(document, part)["action"] == action
    problems = validate(document, automation_type="workflow")
    assert [problem for problem in problems if "steps" not in problem.message and "then" not in problem.path] == []


def test_comments_stay_with_the_steps_that_move() -> None:
    text, _, _ = run("up:steps[2]")
    assert "  # At the end.\n  - id: last\n    action: stop\n" in text
    assert "- id: hello   # the first" in text


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("steps[1].then[0].with.body", "steps[1].then[0]"), ("steps[1].if", "steps[1]"), ("rules.daily_limit", "rules"),
        ("trigger.with.keywords[0]", "trigger"), ("exclusive", "rules"), ("", "rules"), ("steps", "rules"),
    ],
)  # fmt: skip
def test_a_problem_opens_the_part_that_it_is_in(path: str, part: str) -> None:
    assert run(f"goto:{path}")[2] == part


def test_rows_of_buttons_and_variants_are_added_and_removed() -> None:
    message = (
        "trigger: {type: a.b}\nsteps:\n  - id: m\n    action: send_message\n    with: {channel: instagram, body: Hi}\n"
    )
    text, document, _ = run("add_row:with.buttons", "steps[0]", message)
    assert document["steps"][0]["with"]["buttons"] == [{"title": "Tap me"}]
    _, document, _ = run("remove_row:with.buttons[0]", "steps[0]", text)
    assert "buttons" not in document["steps"][0]["with"]

    split = "trigger: {type: a.b}\nsteps:\n  - id: s\n    action: split\n    variants:\n      - {name: b, steps: []}\n"
    _, document, _ = run("add_row:variants", "steps[0]", split)
    assert [variant["name"] for variant in document["steps"][0]["variants"]] == ["b", "a"]
