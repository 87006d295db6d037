"""The workflows of a test run can be published and have every action of the registry between them."""

from __future__ import annotations

from rules.actions import ACTIONS, PLAYBOOK_ACTIONS
from rules.definition import parse
from rules.plan import find_next_queue
from rules.samples import build_payload, iter_steps
from rules.stages import MOVES
from rules.test_workflows import STEP_NAMES, WORKFLOWS
from rules.validation import validate
from tasks.operators.test_run_steps import STEPS


def test_every_action_is_in_one_of_the_test_workflows() -> None:
    used = {step["action"] for workflow in WORKFLOWS for step in iter_steps(workflow.definition["steps"])}
    # Playbooks run in the visitor's browser.
    assert set(ACTIONS) - set(PLAYBOOK_ACTIONS) - used == set()


def test_the_test_workflows_can_be_published() -> None:
    for workflow in WORKFLOWS:
        assert validate(workflow.definition) == []
        assert find_next_queue(parse(workflow.definition), {}) in ("generation", "sending")
        assert isinstance(build_payload(workflow.definition), dict)


def test_their_stages_are_moves_that_are_allowed() -> None:
    for workflow in WORKFLOWS:
        for stage, following in zip(workflow.stages, workflow.stages[1:], strict=False):
            assert following in MOVES[stage]


def test_every_wait_of_the_test_workflows_lasts_a_second() -> None:
    steps = [step for workflow in WORKFLOWS for step in iter_steps(workflow.definition["steps"])]
    waits = [step["with"].get("for") or step["with"]["timeout"] for step in steps if step["action"].startswith("wait")]
    assert waits == ["1s"] * 3


def test_every_step_but_the_removal_has_a_function() -> None:
    assert len(STEPS) == len(STEP_NAMES) - 1
