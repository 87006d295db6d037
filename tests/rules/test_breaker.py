"""A breaker opens after five time-outs in a row, lets one call through after 30 seconds, and closes with an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rules.breaker import CLOSED, Breaker, CallResult, apply_result, begin_probe

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPEN = Breaker(timeouts=5, opened_at=NOW, probe_at=NOW + timedelta(seconds=30))
PROBED = Breaker(timeouts=5, opened_at=NOW, probe_at=NOW + timedelta(seconds=120), probed_by="probe")


def apply(breaker: Breaker, *results: CallResult, by: str = "other") -> Breaker:
    for result in results:
        breaker = apply_result(breaker, result, by, NOW)
    return breaker


def test_the_fifth_timeout_in_a_row_opens_the_breaker() -> None:
    assert not apply(CLOSED, *["timed_out"] * 4).is_open
    assert apply(CLOSED, *["timed_out"] * 5) == OPEN


def test_an_answer_ends_the_row_of_timeouts() -> None:
    assert apply(CLOSED, *["timed_out"] * 4, "answered") == CLOSED
    assert not apply(CLOSED, *["timed_out"] * 4, "answered", "timed_out").is_open


def test_a_provider_that_cannot_be_reached_changes_no_count() -> None:
    assert apply(CLOSED, "unreachable") == CLOSED
    assert apply(CLOSED, *["timed_out"] * 4, "unreachable", "timed_out").is_open


@pytest.mark.parametrize("result", ["timed_out", "answered", "unreachable"])
def test_calls_that_began_before_it_opened_change_nothing(result: CallResult) -> None:
    assert apply(OPEN, result) == OPEN
    assert apply(PROBED, result) == PROBED


def test_one_call_probes_after_thirty_seconds() -> None:
    assert begin_probe(OPEN, "probe", NOW + timedelta(seconds=29)) is None
    probed = begin_probe(OPEN, "probe", NOW + timedelta(seconds=30))
    assert probed == PROBED
    assert begin_probe(probed, "second", NOW + timedelta(seconds=31)) is None


def test_another_call_probes_where_the_probe_never_ended() -> None:
    assert begin_probe(PROBED, "second", NOW + timedelta(seconds=121)) is not None


def test_an_interrupted_probe_probes_again() -> None:
    assert begin_probe(PROBED, "probe", NOW + timedelta(seconds=40)) is not None


def test_an_answered_probe_closes_the_breaker() -> None:
    assert apply(PROBED, "answered", by="probe") == CLOSED


def test_an_answer_that_took_longer_than_a_probe_may_closes_the_breaker() -> None:
    second = begin_probe(PROBED, "second", NOW + timedelta(seconds=121))
    assert second is not None
    assert apply_result(second, "answered", "probe", NOW, began_open=True) == CLOSED
    assert apply_result(second, "timed_out", "probe", NOW, began_open=True) == second


@pytest.mark.parametrize("result", ["timed_out", "unreachable"])
def test_a_probe_without_an_answer_opens_it_for_thirty_seconds_again(result: CallResult) -> None:
    again = apply(PROBED, result, by="probe")
    assert (again.opened_at, again.probe_at, again.probed_by) == (NOW, NOW + timedelta(seconds=30), None)
