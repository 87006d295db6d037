"""An execution's story in the terminal: stage by stage with times, each step with its attempts, each message with the
provider's id, and why it rests where it rests. The same lines whether they are shown at the end or as they happen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

import clock
from models.reports import executions as report
from models.reports.executions import error
from rules.stages import FINISHED
from workers.terminal import Refused, named, printable, span, when

#: Seconds between two looks at executions that are followed.
LOOK_EVERY_SECONDS = 0.2
#: A wait that ends sooner than this is part of the passage, not a rest.
_SHORT = timedelta(seconds=1)

_COLOURS = {"completed": "green", "succeeded": "green", "sent": "green", "failed": "red", "skipped": "yellow"}


@dataclass(frozen=True)
class Line:
    """Something that happened: `key` tells it from all else that did."""

    key: tuple[object, ...]
    at: datetime
    text: str
    colour: str | None = None


def lines(detail: dict[str, Any]) -> list[Line]:
    """What `reports.executions.detail` tells, in the order in which it happened."""
    told = [*_stage_lines(detail), *_step_lines(detail), *_message_lines(detail)]
    return sorted(told, key=lambda line: line.at)


def _stage_lines(detail: dict[str, Any]) -> Iterator[Line]:
    before: dict[str, Any] | None = None
    for number, stage in enumerate(detail["stages"]):
        text = f"stage {stage['stage']}"
        if before is not None:
            text += f", after {span((before['duration_ms'] or 0) / 1000)} in {before['stage']}"
        yield Line(("stage", number), stage["entered_at"], text, _COLOURS.get(stage["stage"]))
        before = stage


def _step_lines(detail: dict[str, Any]) -> Iterator[Line]:
    for step in detail["steps"]:
        name = f"step {step['id']} ({step['action']})"
        for number, failure in enumerate(step["failures"]):
            words = f"    {name} failed, attempt {number + 1}: {failure['class']}: {printable(failure['message'])}"
            yield Line(("failure", step["id"], step["round"], number), _moment(failure["at"]), words, "red")
        if step["status"] in ("succeeded", "skipped"):
            took = span((step["execution_time_ms"] or 0) / 1000)
            words = f"    {name} {step['status']}, {_attempts(step['attempts'])}, {took}{_outcome(step)}"
            yield Line(("step", step["id"], step["round"]), step["finished_at_or_start"], words)


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _outcome(step: dict[str, Any]) -> str:
    output = step["output"] or {}
    if step["status"] == "skipped" and output.get("skipped"):
        return f": {printable(str(output['skipped'].get('words') or output['skipped'].get('rule')))}"
    if output.get("taken"):
        return f", took {printable(str(output['taken']))}"
    if output.get("text"):
        return f': "{_shortened(str(output["text"]))}"'
    return ""


def _message_lines(detail: dict[str, Any]) -> Iterator[Line]:
    for message in detail["messages"]:
        where = "the sandbox, as " if message["sandbox"] else ""
        words = f"    {message['channel']} to {printable(message['to'])} is {message['status']}"
        if message["status"] != "pending":
            words += f", by {where}{message['provider']}"
        if message["provider_message_id"]:
            words += f", id {printable(message['provider_message_id'])}"
        at = message["sent_at"] or message["created_at"]
        yield Line(("message", message["id"], message["status"]), at, words)


def _shortened(text: str, longest: int = 60) -> str:
    plain = printable(text)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def _moment(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)


def conclusion(detail: dict[str, Any]) -> str:
    """Where it rests and why, in one line."""
    status, stage = detail["status"], detail["stage"]
    if detail["next_retry_at"] and status == "waiting":
        return f"waiting for a retry at {when(detail['next_retry_at'])} UTC: {_because(detail)}"
    if status == "waiting":
        until = f" until {when(detail['resume_at'])} UTC" if detail["resume_at"] else ""
        why = f": {_because(detail)}" if detail["waiting_for"] == "configuration" else ""
        return f"waiting at {stage} for {detail['waiting_for']}{until}{why}"
    if status == "failed":
        return f"failed: {_because(detail)}"
    if detail["skipped_because"]:
        found = detail["skipped_because"]
        words = (found["detail"] or {}).get("words") or ""
        return f"{status} by {found['rule']}: {printable(words)}".removesuffix(": ")
    if detail["follow_up_ended_because"]:
        found = detail["follow_up_ended_because"]
        return f"succeeded, no more follow-ups: {printable((found['detail'] or {}).get('words') or found['rule'])}"
    if status == "succeeded":
        return f"succeeded in {span((detail['execution_time_ms'] or 0) / 1000)}"
    return f"{status} at {stage}"


def _because(detail: dict[str, Any]) -> str:
    found = detail["error"] or {"class": "unknown", "message": ""}
    return f"{found['class']}: {printable(found['message'] or '')}"


def read(workspace_id: str, execution_id: str) -> dict[str, Any]:
    """One execution with all that `lines` needs. Raises `Refused` where the workspace has none by that id."""
    from models.ids import is_id

    detail = report.detail(workspace_id, execution_id) if is_id(execution_id) else None
    if detail is None:
        raise Refused("There is no execution by that id.")
    for step in detail["steps"]:
        started = step["started_at"] or detail["created_at"]
        step["finished_at_or_start"] = started + timedelta(milliseconds=step["execution_time_ms"] or 0)
    return detail


def as_json(detail: dict[str, Any]) -> dict[str, Any]:
    """One execution under the API's names, as `GET /api/executions/{id}` has it."""
    steps = [named({name: one for name, one in step.items() if name != "finished_at_or_start"})
             for step in detail["steps"]]  # fmt: skip
    messages = []
    for message in detail["messages"]:
        shown = {name: one for name, one in message.items() if name not in ("error_class", "error_message")}
        wrong = message["error_class"] and error(message["error_class"], message["error_message"])
        messages.append({**named(shown), "error": wrong})
    stages = [named(stage) for stage in detail["stages"]]
    return {**named(detail), "stages": stages, "steps": steps, "messages": messages}


def show(detail: dict[str, Any]) -> None:
    """Print one execution's whole story."""
    _headline(detail)
    for line in lines(detail):
        _print(line)
    click.secho(conclusion(detail), bold=True, fg=_COLOURS.get(detail["status"]))


def _headline(detail: dict[str, Any]) -> None:
    whom = printable(detail["contact_name"] or detail["contact_id"] or "nobody")
    test = ", a test" if detail["test"] else ""
    name = f"{printable(detail['automation_name'])} v{detail['version']}"
    click.secho(f"{name} for {whom}{test}  {detail['id']}", dim=True)


def _print(line: Line) -> None:
    click.secho(f"{line.at.astimezone(UTC):%H:%M:%S.%f}"[:-3] + f"  {line.text}", fg=line.colour)


def rests(detail: dict[str, Any]) -> bool:
    """Whether nothing will move it within the next moment: it ended, or waits for a later time or for somebody."""
    if detail["status"] in FINISHED:
        return True
    goes_on_at = detail["resume_at"] or detail["next_retry_at"]
    return detail["status"] == "waiting" and (goes_on_at is None or goes_on_at > clock.now() + _SHORT)


def follow(workspace_id: str, execution_ids: Sequence[str], patience_seconds: float) -> bool:
    """Print the stories of executions as they happen, until all of them rest; whether they did within the patience."""
    deadline = time.monotonic() + patience_seconds
    for execution_id in execution_ids:
        seen: set[tuple[object, ...]] = set()
        detail = read(workspace_id, execution_id)
        _headline(detail)
        while True:
            for line in lines(detail):
                if line.key not in seen:
                    _print(line)
                    seen.add(line.key)
            if rests(detail):
                break
            if time.monotonic() > deadline:
                click.echo(f"still {detail['status']} at {detail['stage']}: is a worker running? "
                           f"See `beckon execution show {execution_id}`")  # fmt: skip
                return False
            time.sleep(LOOK_EVERY_SECONDS)
            detail = read(workspace_id, execution_id)
        click.secho(conclusion(detail), bold=True, fg=_COLOURS.get(detail["status"]))
    return True
