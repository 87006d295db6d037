"""An execution's timeline in the terminal: each stage with its time, each step with its attempts, each message with the
provider's id, and the reason for the current status. The lines are the same afterwards and while they happen.
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
from models.reports.executions import ExecutionDetail, ExecutionItem, StageItem, StepItem, describe_error
from rules.stages import FINISHED
from workers.console import CommandError, format_duration, format_time, sanitize_text, to_api_names

#: Seconds between two reads of a followed execution.
POLL_INTERVAL_SECONDS = 0.2
#: An execution whose wait ends sooner than this is not settled.
_SHORT_WAIT = timedelta(seconds=1)

_COLOURS = {"completed": "green", "succeeded": "green", "sent": "green", "failed": "red", "skipped": "yellow"}


@dataclass(frozen=True)
class Line:
    """One event of the timeline; `key` identifies it."""

    key: tuple[object, ...]
    at: datetime
    text: str
    colour: str | None = None


def build_lines(detail: ExecutionDetail) -> list[Line]:
    """Build the lines of `reports.executions.fetch_detail` in order of time."""
    entries = [*_build_stage_lines(detail), *_build_step_lines(detail), *_build_message_lines(detail)]
    return sorted(entries, key=lambda line: line.at)


def _build_stage_lines(detail: ExecutionDetail) -> Iterator[Line]:
    previous: StageItem | None = None
    for number, stage in enumerate(detail["stages"]):
        text = f"stage {stage['stage']}"
        if previous is not None:
            text += f", after {format_duration((previous['duration_ms'] or 0) / 1000)} in {previous['stage']}"
        yield Line(("stage", number), stage["entered_at"], text, _COLOURS.get(stage["stage"]))
        previous = stage


def _build_step_lines(detail: ExecutionDetail) -> Iterator[Line]:
    for step in detail["steps"]:
        name = f"step {step['id']} ({step['action']})"
        for number, failure in enumerate(step["failures"]):
            text = f"    {name} failed, attempt {number + 1}: {failure['class']}: {sanitize_text(failure['message'])}"
            yield Line(("failure", step["id"], step["round"], number), _parse_time(failure["at"]), text, "red")
        if step["status"] in ("succeeded", "skipped"):
            duration = format_duration((step["execution_time_ms"] or 0) / 1000)
            text = (
                f"    {name} {step['status']}, {_format_attempts(step['attempts'])}, {duration}{_format_outcome(step)}"
            )
            started_at = step["started_at"] or detail["created_at"]
            ended_at = started_at + timedelta(milliseconds=step["execution_time_ms"] or 0)
            yield Line(("step", step["id"], step["round"]), ended_at, text)


def _format_attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _format_outcome(step: StepItem) -> str:
    output = step["output"] or {}
    if step["status"] == "skipped" and output.get("skipped"):
        return f": {sanitize_text(str(output['skipped'].get('words') or output['skipped'].get('rule')))}"
    if output.get("taken"):
        return f", took {sanitize_text(str(output['taken']))}"
    if output.get("text"):
        return f': "{_shorten(str(output["text"]))}"'
    return ""


def _build_message_lines(detail: ExecutionDetail) -> Iterator[Line]:
    for message in detail["messages"]:
        where = "the sandbox, as " if message["sandbox"] else ""
        text = f"    {message['channel']} to {sanitize_text(message['to'])} is {message['status']}"
        if message["status"] != "pending":
            text += f", by {where}{message['provider']}"
        if message["provider_message_id"]:
            text += f", id {sanitize_text(message['provider_message_id'])}"
        at = message["sent_at"] or message["created_at"]
        yield Line(("message", message["id"], message["status"]), at, text)


def _shorten(text: str, max_length: int = 60) -> str:
    plain = sanitize_text(text)
    return plain if len(plain) <= max_length else f"{plain[: max_length - 1]}…"


def _parse_time(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)


def format_conclusion(detail: ExecutionDetail) -> str:
    """Format the current status and its reason in one line."""
    status, stage = detail["status"], detail["stage"]
    if detail["next_retry_at"] and status == "waiting":
        return f"waiting for a retry at {format_time(detail['next_retry_at'])} UTC: {_format_error(detail)}"
    if status == "waiting":
        until = f" until {format_time(detail['resume_at'])} UTC" if detail["resume_at"] else ""
        why = f": {_format_error(detail)}" if detail["waiting_for"] == "configuration" else ""
        return f"waiting at {stage} for {detail['waiting_for']}{until}{why}"
    if status == "failed":
        return f"failed: {_format_error(detail)}"
    if detail["skipped_because"]:
        reason = detail["skipped_because"]
        explanation = (reason["detail"] or {}).get("words") or ""
        return f"{status} by {reason['rule']}: {sanitize_text(explanation)}".removesuffix(": ")
    if detail["follow_up_ended_because"]:
        reason = detail["follow_up_ended_because"]
        return (
            f"succeeded, no more follow-ups: {sanitize_text((reason['detail'] or {}).get('words') or reason['rule'])}"
        )
    if status == "succeeded":
        return f"succeeded in {format_duration((detail['execution_time_ms'] or 0) / 1000)}"
    return f"{status} at {stage}"


def _format_error(detail: ExecutionDetail) -> str:
    failure = detail["error"] or {"class": "unknown", "message": ""}
    return f"{failure['class']}: {sanitize_text(failure['message'] or '')}"


def read(workspace_id: str, execution_id: str) -> ExecutionDetail:
    """Read one execution with everything that `build_lines` needs. Raises CommandError if there is none."""
    from models.ids import is_id

    detail = report.fetch_detail(workspace_id, execution_id) if is_id(execution_id) else None
    if detail is None:
        raise CommandError("There is no execution with that id.")
    return detail


def as_json(detail: ExecutionDetail) -> dict[str, Any]:
    """Convert one execution to the JSON of `GET /api/executions/{id}`."""
    steps = [to_api_names(step) for step in detail["steps"]]
    messages = []
    for message in detail["messages"]:
        fields = {name: value for name, value in message.items() if name not in ("error_class", "error_message")}
        message_error = describe_error(message["error_class"], message["error_message"])
        messages.append({**to_api_names(fields), "error": message_error})
    stages = [to_api_names(stage) for stage in detail["stages"]]
    return {**serialize(detail), "stages": stages, "steps": steps, "messages": messages}


def serialize(execution: ExecutionItem) -> dict[str, Any]:
    """Convert an execution of a list to its JSON in `GET /api/executions`."""
    return {**to_api_names(execution), "followUp": to_api_names(execution["follow_up"])}


def show(detail: ExecutionDetail) -> None:
    """Print one execution's complete timeline."""
    _print_headline(detail)
    for line in build_lines(detail):
        _print_line(line)
    click.secho(format_conclusion(detail), bold=True, fg=_COLOURS.get(detail["status"]))


def _print_headline(detail: ExecutionDetail) -> None:
    contact = sanitize_text(detail["contact_name"] or detail["contact_id"] or "no contact")
    test = ", a test" if detail["test"] else ""
    name = f"{sanitize_text(detail['automation_name'])} v{detail['version']}"
    click.secho(f"{name} for {contact}{test}  {detail['id']}", dim=True)


def _print_line(line: Line) -> None:
    click.secho(f"{line.at.astimezone(UTC):%H:%M:%S.%f}"[:-3] + f"  {line.text}", fg=line.colour)


def is_settled(detail: ExecutionDetail) -> bool:
    """Whether the execution has finished, or waits for a later time or an external event."""
    if detail["status"] in FINISHED:
        return True
    resumes_at = detail["resume_at"] or detail["next_retry_at"]
    return detail["status"] == "waiting" and (resumes_at is None or resumes_at > clock.now() + _SHORT_WAIT)


def follow(workspace_id: str, execution_ids: Sequence[str], timeout_seconds: float) -> bool:
    """Print the timelines of executions as they happen, until all have settled. Returns False on timeout."""
    deadline = time.monotonic() + timeout_seconds
    for execution_id in execution_ids:
        seen: set[tuple[object, ...]] = set()
        detail = read(workspace_id, execution_id)
        _print_headline(detail)
        while True:
            for line in build_lines(detail):
                if line.key not in seen:
                    _print_line(line)
                    seen.add(line.key)
            if is_settled(detail):
                break
            if time.monotonic() > deadline:
                click.echo(f"still {detail['status']} at {detail['stage']}: is a worker running? "
                           f"See `beckon execution show {execution_id}`")  # fmt: skip
                return False
            time.sleep(POLL_INTERVAL_SECONDS)
            detail = read(workspace_id, execution_id)
        click.secho(format_conclusion(detail), bold=True, fg=_COLOURS.get(detail["status"]))
    return True
