"""Decides when a message of unknown outcome is looked up at its provider, and what follows a look-up.

The times count from the send. Mailgun's guide to polling its events calls those of the last half hour incomplete, so
only the last look-up, after 35 minutes, may conclude that a message was not accepted. A look-up that was not answered
concludes nothing: it is repeated, for a day where the provider was out of service.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

#: Seconds from the send to each look-up.
LOOK_UP_SECONDS = (5.0, 20.0, 60.0, 300.0, 2_100.0)
#: Seconds from the send to each repetition of a last look-up that the provider could not answer.
REPETITION_SECONDS = (3_600.0, 7_200.0, 14_400.0, 28_800.0, 57_600.0, 86_400.0)

WhenUnknown = Literal["hold", "resend"]
#: What a look-up brought: the provider has the message, has no record of it, refused the question, or did not answer.
Answer = Literal["found", "missing", "refused", "unanswered"]


@dataclass(frozen=True)
class LookUpLater:
    """The message is looked up again at this time."""

    at: datetime


@dataclass(frozen=True)
class Conclude:
    """No look-up follows. A message `may_resend` if its provider has no record of it, or cannot be asked at all."""

    may_resend: bool


def count_passed(sent_at: datetime, now: datetime) -> int:
    """Return how many of the scheduled look-ups are due or past."""
    elapsed = (now - sent_at).total_seconds()
    return sum(seconds <= elapsed for seconds in LOOK_UP_SECONDS)


def schedule_first(
    sent_at: datetime, now: datetime, *, can_reconcile: bool, when_unknown: WhenUnknown
) -> datetime | None:
    """Return when a message whose outcome just became unknown is looked up first.

    Where nobody can be asked, that is when it is sent again; None where it is held for an operator.
    """
    if can_reconcile:
        return max(now, sent_at + timedelta(seconds=LOOK_UP_SECONDS[0]))
    return sent_at + timedelta(seconds=LOOK_UP_SECONDS[-1]) if when_unknown == "resend" else None


def decide_next(sent_at: datetime, now: datetime, answer: Answer) -> LookUpLater | Conclude:
    """Decide what follows a look-up that did not find the message."""
    repetitions = REPETITION_SECONDS if answer == "unanswered" else ()
    next_at = _find_next(sent_at, now, (*LOOK_UP_SECONDS, *repetitions))
    return LookUpLater(next_at) if next_at is not None else Conclude(may_resend=answer == "missing")


def _find_next(sent_at: datetime, now: datetime, offsets: Collection[float]) -> datetime | None:
    times = (sent_at + timedelta(seconds=seconds) for seconds in offsets)
    return next((at for at in times if at > now), None)
