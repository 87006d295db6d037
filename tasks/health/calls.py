"""Judges a provider by what its last calls did, not by whether it is configured. Pure: rows come in as arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.reports.provider_calls import GenerationRow, SendRow
from rules.errors import BY_CLASS

#: Consecutive failed calls after which a provider counts as failing.
FAILING_CALLS = 3
#: A provider whose last call failed longer ago is not known to fail now.
MAX_FAILURE_AGE = timedelta(minutes=15)
#: Error classes for which the provider or the way to it is to blame.
PROVIDER_CLASSES = frozenset(name for name, error in BY_CLASS.items() if error.fault in ("network", "provider"))


@dataclass(frozen=True)
class Call:
    """One call: when it began, and its error if it failed."""

    at: datetime
    sandbox: bool = False
    error_class: str | None = None
    error_message: str | None = None


@dataclass(frozen=True)
class Activity:
    """What the last calls of one provider did."""

    calls: int = 0
    #: When it last accepted something.
    accepted_at: datetime | None = None
    #: Since when it accepts.
    accepting_since: datetime | None = None
    #: Calls that failed since it last accepted something, the first, and the last of them.
    failures: int = 0
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    error_class: str | None = None
    error_message: str | None = None
    sandbox: bool = False

    def is_failing(self, now: datetime) -> bool:
        """Whether the provider fails now, by its last calls."""
        return self.failures >= FAILING_CALLS and self.failed_at is not None and now - self.failed_at < MAX_FAILURE_AGE


def list_sends(rows: Sequence[SendRow], provider: str) -> list[Call]:
    """Return the calls of a provider that sends."""
    return [
        Call(
            row["sending_at"],
            row["sandbox"],
            None if row["sent_at"] else row["error_class"],
            row["error_message"],
        )
        for row in rows
        if row["provider"] == provider and (row["sent_at"] or row["error_class"])
    ]


def list_generations(rows: Sequence[GenerationRow]) -> list[Call]:
    """Return the calls of the provider that generates texts."""
    return [
        Call(
            row["finished_at"],
            error_class=(row["error"] or {}).get("class"),
            error_message=(row["error"] or {}).get("message"),
        )
        for row in rows
        if row["status"] in ("succeeded", "failed")
    ]


def summarize(calls: Sequence[Call]) -> Activity:
    """Summarize the calls of one provider. Errors of ours or of the contact tell nothing about it."""
    relevant = [call for call in calls if call.error_class is None or call.error_class in PROVIDER_CLASSES]
    ordered = sorted(relevant, key=lambda call: call.at)
    accepted = [call for call in ordered if call.error_class is None]
    failures = ordered[_find_last_accepted(ordered) + 1 :]
    last_failure = failures[-1] if failures else None
    return Activity(
        calls=len(ordered),
        accepted_at=accepted[-1].at if accepted else None,
        accepting_since=_find_accepting_since(ordered),
        failures=len(failures),
        failing_since=failures[0].at if failures else None,
        failed_at=last_failure.at if last_failure else None,
        error_class=last_failure.error_class if last_failure else None,
        error_message=last_failure.error_message if last_failure else None,
        sandbox=bool(ordered) and ordered[-1].sandbox,
    )


def _find_last_accepted(ordered: Sequence[Call]) -> int:
    return max((index for index, call in enumerate(ordered) if call.error_class is None), default=-1)


def _find_accepting_since(ordered: Sequence[Call]) -> datetime | None:
    """Return the first accepted call after the last failure."""
    last_failure = max((index for index, call in enumerate(ordered) if call.error_class), default=-1)
    return next((call.at for call in ordered[last_failure + 1 :]), None)
