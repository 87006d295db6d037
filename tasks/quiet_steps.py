"""The steps that touch nothing outside: waits, forks, and changes to our own rows, recorded with the step itself.

Each answers whether the passage goes on in place.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from models.ids import new_id
from models.progress import ChangeContact, CreateTask, NoticeAnswer
from rules.conditions import holds
from rules.definition import Step
from rules.errors import InvalidRequest
from rules.plan import split_variant
from rules.schedule import seconds
from rules.templating import render, render_within
from tasks.engine import Engine
from tasks.follow_ups import REPLIED
from tasks.passage import Passage, moment_of


def wait(engine: Engine, passage: Passage, step: Step) -> bool:
    """A wait of a given length, as a row that says when it ends."""
    started = passage.steps.get(step.id)
    if started is None or started["status"] != "running":
        row = passage.begin(step)
        row["output"] = {"until": (passage.now() + timedelta(seconds=seconds(step.with_["for"]))).isoformat()}
        return _rest_until(passage, row["output"]["until"], None)
    until = started["output"]["until"]
    if datetime.fromisoformat(until) > passage.now():
        return _rest_until(passage, until, None)
    passage.succeed(step, started["output"])
    return True


def wait_until(engine: Engine, passage: Passage, step: Step) -> bool:
    """A wait for an event of the contact, for as long as the time-out says."""
    started = passage.steps.get(step.id)
    event = str(step.with_["event"])
    if started is None or started["status"] != "running":
        row = passage.begin(step)
        timeout = step.with_.get("timeout")
        until = (passage.now() + timedelta(seconds=seconds(timeout))).isoformat() if timeout else None
        row["output"] = {"until": until}
        return _rest_until(passage, until, event)
    until = started["output"]["until"]
    happened = passage.row["event_at"] is not None and passage.row["wait_event"] == event
    if not happened and (until is None or datetime.fromisoformat(until) > passage.now()):
        return _rest_until(passage, until, event)
    output = {"taken": "then", "event": event} if happened else {"taken": "else", "timedOut": True}
    passage.succeed(step, {**started["output"], **output})
    return True


def _rest_until(passage: Passage, until: str | None, event: str | None) -> bool:
    if passage.stage == "generating":
        passage.enter(passage.base_stage)
    passage.wait("event" if event else "time", datetime.fromisoformat(until) if until else None, event)
    since = _may_have_answered(passage) if event == REPLIED else None
    if since is not None:
        passage.also(NoticeAnswer(str(passage.row["contact_id"]), since))
    return False


def _may_have_answered(passage: Passage) -> datetime | None:
    """Since when an answer is one to what was sent last, which may be quicker than our record of it; None where
    nothing was sent since the last answer."""
    sent = [moment_of(message["sending_at"]) for message in passage.sent_to_contact if message["sending_at"]]
    answered = [
        moment_of(step["finished_at"]) for step in (*passage.earlier_steps, *passage.steps.values())
        if step["action"] == "wait_until" and step["finished_at"]
    ]  # fmt: skip
    return max(sent) if sent and max(sent) > max(answered, default=datetime.min.replace(tzinfo=UTC)) else None


def branch(engine: Engine, passage: Passage, step: Step) -> bool:
    """Take one of two ways."""
    taken = "then" if holds(step.condition or "", passage.facts()) else "else"
    passage.succeed(step, {"taken": taken})
    return True


def split(engine: Engine, passage: Passage, step: Step) -> bool:
    """Take the way that this contact always gets."""
    passage.succeed(step, {"taken": split_variant(step, str(passage.row["contact_id"] or passage.execution_id))})
    return True


def stop(engine: Engine, passage: Passage, step: Step) -> bool:
    """End here."""
    passage.succeed(step, {})
    return True


def update_contact(engine: Engine, passage: Passage, step: Step) -> bool:
    """Tags and attributes; steps that follow see the change. A test execution changes nobody."""
    if passage.contact is None:
        raise InvalidRequest("The trigger named no contact, so there is none to change.")
    facts = passage.facts()
    add = [render(tag, facts).strip() for tag in step.with_.get("add_tags") or ()]
    remove = [render(tag, facts).strip() for tag in step.with_.get("remove_tags") or ()]
    attributes: dict[str, Any] = dict(render_within(step.with_.get("set") or {}, facts))  # type: ignore[call-overload]
    kept = [tag for tag in dict.fromkeys([*passage.contact["tags"], *add]) if tag not in remove]
    merged = {**passage.contact["attributes"], **attributes}
    passage.contact["tags"] = kept
    passage.contact["attributes"] = {name: item for name, item in merged.items() if item is not None}
    if not passage.test:
        passage.also(ChangeContact(str(passage.row["contact_id"]), add, remove, attributes))
    passage.succeed(step, {"addedTags": add, "removedTags": remove, "set": attributes, "test": passage.test})
    return True


def create_task(engine: Engine, passage: Passage, step: Step) -> bool:
    """Something for a person to do. A test execution makes none."""
    facts = passage.facts()
    due_in = step.with_.get("due_in")
    assignee = step.with_.get("assignee")
    task = CreateTask(
        id=new_id(),
        contact_id=passage.row["contact_id"],
        step_id=step.id,
        title=render(step.with_["title"], facts),
        assignee=render(assignee, facts) if assignee else None,
        due_in_seconds=seconds(due_in) if due_in else None,
    )
    if not passage.test:
        passage.also(task)
    passage.succeed(step, {"taskId": None if passage.test else task.id, "title": task.title})
    return True
