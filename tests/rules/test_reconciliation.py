"""The times of look-ups from the send, and what follows each answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rules.reconciliation import (
    Answer,
    Conclude,
    LookUpLater,
    WhenUnknown,
    count_passed,
    decide_next,
    schedule_first,
)

SENT = datetime(2026, 11, 20, 9, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return SENT + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("now", "can_reconcile", "when_unknown", "first"),
    [
        (0.1, True, "hold", 5),
        # The answer timed out: the first look-up is due already.
        (15, True, "hold", 15),
        (0.1, False, "resend", 2_100),
        (0.1, False, "hold", None),
    ],
)
def test_the_first_look_up_is_five_seconds_after_the_send(
    now: float, can_reconcile: bool, when_unknown: WhenUnknown, first: float | None
) -> None:
    at = schedule_first(SENT, after(now), can_reconcile=can_reconcile, when_unknown=when_unknown)
    assert at == (None if first is None else after(first))


@pytest.mark.parametrize(("now", "next_at"), [(5, 20), (19, 20), (20, 60), (61, 300), (300, 2_100)])
def test_look_ups_follow_at_their_times_from_the_send(now: float, next_at: float) -> None:
    answers: tuple[Answer, ...] = ("missing", "refused", "unanswered")
    assert [decide_next(SENT, after(now), answer) for answer in answers] == [LookUpLater(after(next_at))] * 3


def test_only_an_answered_last_look_up_lets_a_message_be_sent_again() -> None:
    assert decide_next(SENT, after(2_100), "missing") == Conclude(may_resend=True)
    assert decide_next(SENT, after(2_100), "refused") == Conclude(may_resend=False)


def test_a_provider_out_of_service_is_asked_for_a_day() -> None:
    assert decide_next(SENT, after(2_100), "unanswered") == LookUpLater(after(3_600))
    assert decide_next(SENT, after(60_000), "unanswered") == LookUpLater(after(86_400))
    assert decide_next(SENT, after(86_400), "unanswered") == Conclude(may_resend=False)


def test_the_number_of_passed_look_ups_counts_from_the_send() -> None:
    assert [count_passed(SENT, after(seconds)) for seconds in (4.9, 5, 61, 2_100, 90_000)] == [0, 1, 3, 5, 5]
