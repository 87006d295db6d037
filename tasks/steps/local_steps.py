"""The local steps, which make no outside call: waits, branches, and changes to our own rows, recorded with the step.

Each returns whether the execution continues in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from models.engine.records import ChangeContact, CreateTask, DetectReply
from models.ids import new_id
from rules.conditions import evaluate
from rules.contact_limits import find_excess
from rules.contacts import normalise
from rules.definition import REPLIED, Step
from rules.errors import InvalidRequest
from rules.plan import choose_variant
from rules.schedule import parse_duration
from rules.templating import render, render_value
from tasks.runtime import moves, step_rows
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine


def wait(engine: Engine, claimed: ClaimedExecution, step: Step) -> bool:
    """Wait for a fixed time, as a row with the time at which it ends."""
    step_row = claimed.steps.get(step.id)
    if step_row is None or step_row["status"] != "running":
        row = step_rows.begin(claimed, step)
        until = claimed.now() + timedelta(seconds=parse_duration(step.with_["for"]))
        row["output"] = {"until": until.isoformat()}
        return _rest_until(claimed, until, None)
    output = step_row["output"] or {}
    until = datetime.fromisoformat(output["until"])
    if until > claimed.now():
        return _rest_until(claimed, until, None)
    step_rows.succeed(claimed, step, output)
    return True


def wait_until(engine: Engine, claimed: ClaimedExecution, step: Step) -> bool:
    """Wait for an event of the contact, at most until the timeout."""
    step_row = claimed.steps.get(step.id)
    event = str(step.with_["event"])
    if step_row is None or step_row["status"] != "running":
        row = step_rows.begin(claimed, step)
        timeout = step.with_.get("timeout")
        until = claimed.now() + timedelta(seconds=parse_duration(timeout)) if timeout else None
        row["output"] = {"until": until and until.isoformat()}
        return _rest_until(claimed, until, event)
    begun = step_row["output"] or {}
    until = datetime.fromisoformat(begun["until"]) if begun.get("until") else None
    happened = claimed.row["event_at"] is not None and claimed.row["wait_event"] == event
    if not happened and (until is None or until > claimed.now()):
        return _rest_until(claimed, until, event)
    output = {"taken": "then", "event": event} if happened else {"taken": "else", "timedOut": True}
    step_rows.succeed(claimed, step, {**begun, **output})
    return True


def _rest_until(claimed: ClaimedExecution, until: datetime | None, event: str | None) -> bool:
    if claimed.stage == "generating":
        moves.enter(claimed, claimed.base_stage)
    moves.wait(claimed, "event" if event else "time", until, event)
    since = _find_unanswered_since(claimed) if event == REPLIED else None
    if since is not None:
        claimed.add_effect(DetectReply(str(claimed.row["contact_id"]), since))
    return False


def _find_unanswered_since(claimed: ClaimedExecution) -> datetime | None:
    """Return the time from which a reply answers the last message; None where nothing was sent since the last reply.

    A reply may arrive before our record of the send.
    """
    sent = [message["sending_at"] for message in claimed.sent_to_contact if message["sending_at"]]
    answered = [
        step["finished_at"] for step in (*claimed.earlier_steps, *claimed.steps.values())
        if step["action"] == "wait_until" and step["finished_at"]
    ]  # fmt: skip
    return max(sent) if sent and max(sent) > max(answered, default=datetime.min.replace(tzinfo=UTC)) else None


def branch(engine: Engine, claimed: ClaimedExecution, step: Step) -> bool:
    """Choose one of two paths by a condition."""
    taken = "then" if evaluate(step.condition or "", claimed.build_facts()) else "else"
    step_rows.succeed(claimed, step, {"taken": taken})
    return True


def split(engine: Engine, claimed: ClaimedExecution, step: Step) -> bool:
    """Choose the path that this contact always takes."""
    taken = choose_variant(step, str(claimed.row["contact_id"] or claimed.execution_id))
    step_rows.succeed(claimed, step, {"taken": taken})
    return True


def stop(engine: Engine, claimed: ClaimedExecution, step: Step) -> bool:
    """End the workflow here."""
    step_rows.succeed(claimed, step, {})
    return True


def update_contact(engine: Engine, claimed: ClaimedExecution, step: Step) -> bool:
    """Change the contact's tags and attributes; later steps see the change. A test execution only simulates it."""
    if claimed.contact is None:
        raise InvalidRequest("The trigger names no contact, so there is none to change. Add a contact to the trigger.")
    facts = claimed.build_facts()
    add = [tag for tag in (render(tag, facts).strip() for tag in step.with_.get("add_tags") or ()) if tag]
    remove = [render(tag, facts).strip() for tag in step.with_.get("remove_tags") or ()]
    attributes: dict[str, Any] = dict(render_value(step.with_.get("set") or {}, facts))  # type: ignore[call-overload]
    before = {"tags": claimed.contact["tags"], "attributes": claimed.contact["attributes"]}
    _check_values(add, attributes)
    _change_loaded_contact(claimed.contact, add, remove, attributes)
    _check_limits(claimed.contact, before)
    if not claimed.test:
        contact_id = str(claimed.row["contact_id"])
        claimed.add_effect(ChangeContact(step.id, claimed.round, contact_id, add, remove, attributes))
    step_rows.succeed(claimed, step, {"addedTags": add, "removedTags": remove, "set": attributes, "test": claimed.test})
    return True


def _check_values(tags: Sequence[str], attributes: Mapping[str, Any]) -> None:
    _, problems = normalise({"tags": tags, "attributes": attributes})
    if problems:
        raise InvalidRequest(f"The contact was not changed: {problems[0].path} {problems[0].message}.")


def _check_limits(contact: dict[str, Any], before: dict[str, Any]) -> None:
    """Undo the change of a contact that would have more than it may. Raises `InvalidRequest`."""
    excess = find_excess(before, contact)
    if excess:
        contact.update(before)
        raise InvalidRequest(f"The contact was not changed: {excess.message}.")


def _change_loaded_contact(
    contact: dict[str, Any], add: Sequence[str], remove: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    """Change the contact that later steps see."""
    contact["tags"] = [tag for tag in dict.fromkeys([*contact["tags"], *add]) if tag not in remove]
    merged = {**contact["attributes"], **attributes}
    contact["attributes"] = {name: item for name, item in merged.items() if item is not None}


def repeat_simulated_changes(claimed: ClaimedExecution) -> None:
    """Show the steps of a test the changes that its finished steps simulated before this claim."""
    if claimed.contact is None:
        return
    for row in sorted(claimed.steps.values(), key=lambda row: row["finished_at"] or claimed.now()):
        if row["action"] == "update_contact" and row["status"] == "succeeded":
            output = row["output"] or {}
            _change_loaded_contact(claimed.contact, output["addedTags"], output["removedTags"], output["set"])


def repeat_unrecorded_changes(claimed: ClaimedExecution) -> None:
    """Show later steps the changes of this claim's steps that a contact read anew does not have yet."""
    if claimed.test:
        repeat_simulated_changes(claimed)
    elif claimed.contact is not None:
        for effect in claimed.changes.effects:
            if isinstance(effect, ChangeContact):
                _change_loaded_contact(claimed.contact, effect.add_tags, effect.remove_tags, effect.attributes)


def create_task(engine: Engine, claimed: ClaimedExecution, step: Step) -> bool:
    """Create a task for a person. A test execution creates none."""
    facts = claimed.build_facts()
    due_in = step.with_.get("due_in")
    assignee = step.with_.get("assignee")
    task = CreateTask(
        id=new_id(),
        contact_id=claimed.row["contact_id"],
        step_id=step.id,
        title=render(step.with_["title"], facts),
        assignee=render(assignee, facts) if assignee else None,
        due_in_seconds=parse_duration(due_in) if due_in else None,
    )
    if not claimed.test:
        claimed.add_effect(task)
    step_rows.succeed(claimed, step, {"taskId": None if claimed.test else task.id, "title": task.title})
    return True


#: The function of each local step; it returns whether the execution continues in place.
LOCAL_STEPS: dict[str, Callable[[Engine, ClaimedExecution, Step], bool]] = {
    "wait": wait,
    "wait_until": wait_until,
    "branch": branch,
    "split": split,
    "stop": stop,
    "update_contact": update_contact,
    "create_task": create_task,
}
