"""Judges the recording of playbooks' executions: what waits in the intake, and what could not be recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from models.reports.tracking_intake import OwnIntake
from rules.durations import format_rough_duration
from tasks.health.facts import Facts
from tasks.health.parts import Part, Problem

PART = "queue:tracking"
#: An accepted execution is recorded within a second; after this long something is wrong.
LATE_SECONDS = 60.0


def add_tracking(parts: Sequence[Part], own: Facts, now: datetime) -> list[Part]:
    """Return the parts, the tracking queue's with its problems of playbooks' executions."""
    if not own.is_measured("tracking"):
        return list(parts)
    problems = find_problems(own.results["tracking"], now)
    return [_add_problems(part, problems) if part.name == PART and problems else part for part in parts]


def _add_problems(part: Part, problems: Sequence[Problem]) -> Part:
    state = "degraded" if part.state == "ready" else part.state
    return replace(part, problems=(*part.problems, *problems), state=state)


def find_problems(intake: OwnIntake, now: datetime) -> list[Problem]:
    """Return the problems of a workspace's intake."""
    return [problem for problem in (_find_lateness(intake, now), _find_failed(intake)) if problem]


def _find_lateness(intake: OwnIntake, now: datetime) -> Problem | None:
    oldest_at = intake["oldest_at"]
    if oldest_at is None or now - oldest_at < timedelta(seconds=LATE_SECONDS):
        return None
    return Problem(
        "tracking_late",
        PART,
        "warning",
        f"Executions of playbooks are recorded late by {format_rough_duration((now - oldest_at).total_seconds())}",
        f"{intake['waiting']:,} accepted executions are stored and not yet counted. Nothing is lost.",
        "Start the program tracking, or add processes. The scheduler records them meanwhile, more slowly.",
        oldest_at,
    )


def _find_failed(intake: OwnIntake) -> Problem | None:
    count = intake["failed"]
    if not count:
        return None
    return Problem(
        "tracking_failed",
        PART,
        "warning",
        f"{count:,} {'execution' if count == 1 else 'executions'} of playbooks could not be recorded",
        "PostgreSQL refused their content. They are kept for 90 days with the reason and are not counted.",
        "Report it with the lines of the log that say `set aside`. The runbook TrackingFailed names the next steps.",
        intake["failed_at"],
    )
