"""The client's decisions: what an answer means for each entry of a batch, and how long to wait before a retry."""

from __future__ import annotations

import email.utils
from typing import Any

import pytest

from beckon_client.entries import TRIGGERS, Entry, build_entry
from beckon_client.outcomes import MAX_INTERNAL_ERRORS, judge
from beckon_client.retries import compute_delay, is_temporary
from beckon_client.transport import Answer, parse_retry_after


@pytest.fixture
def entries() -> list[Entry]:
    """Three triggers."""
    return [build_entry({"type": "visit", "idempotencyKey": key}) for key in ("a", "b", "c")]


def _reject(index: int, **fields: Any) -> dict[str, Any]:
    problem = {"path": f"triggers[{index}].type", "message": "is wrong"}
    return {"index": index, "status": 409, "retryAfter": None, "errors": [problem], **fields}


def test_an_entry_whose_key_is_in_use_is_sent_again(entries: list[Entry]) -> None:
    body = {"accepted": 1, "duplicates": 0, "rejected": [_reject(0, retryAfter=1), _reject(2)]}
    outcome = judge(TRIGGERS, entries, Answer(202, body), 1)
    assert (outcome.delivered, outcome.again, outcome.retry_after) == ([entries[1]], [[entries[0]]], 1.0)
    ((failed, error),) = outcome.failures
    assert (failed, error.status, error.errors) == (entries[2], 409, [{"path": "type", "message": "is wrong"}])


def test_an_entry_that_breaks_the_server_is_found_by_halves(entries: list[Entry]) -> None:
    assert judge(TRIGGERS, entries, Answer(500, {}), MAX_INTERNAL_ERRORS).is_delayed
    outcome = judge(TRIGGERS, entries, Answer(500, {}), MAX_INTERNAL_ERRORS + 1)
    assert (outcome.again, outcome.is_delayed) == ([entries[:1], entries[1:]], False)
    alone = judge(TRIGGERS, entries[:1], Answer(500, {}), MAX_INTERNAL_ERRORS + 1)
    assert [entry for entry, _ in alone.failures] == entries[:1]


def test_a_refusal_without_an_index_is_found_by_halves(entries: list[Entry]) -> None:
    answer = Answer(422, {"errors": [{"path": "", "message": "is wrong"}]})
    assert judge(TRIGGERS, entries, answer, 1).again == [entries[:1], entries[1:]]
    ((_, error),) = judge(TRIGGERS, entries[:1], answer, 1).failures
    assert error.errors == [{"path": "", "message": "is wrong"}]


@pytest.mark.parametrize("status", [401, 403, 404, 405, 421])
def test_a_refusal_of_the_caller_concerns_every_entry(entries: list[Entry], status: int) -> None:
    outcome = judge(TRIGGERS, entries, Answer(status, {"detail": "No."}), 1)
    assert [(error.status, error.detail) for _, error in outcome.failures] == [(status, "No.")] * 3
    assert not outcome.again


def test_a_conflict_is_temporary_only_with_retry_after() -> None:
    assert is_temporary(409, 1.0)
    assert not is_temporary(409, None)


def test_delays_double_up_to_a_bound_with_a_random_half() -> None:
    for attempt, most in ((1, 0.25), (2, 0.5), (5, 4.0), (8, 30.0), (1000, 30.0)):
        delays = [compute_delay(attempt) for _ in range(50)]
        assert most / 2 <= min(delays) < max(delays) <= most


def test_retry_after_is_a_least_and_is_bounded() -> None:
    assert compute_delay(1, 7.0) == 7.0
    assert compute_delay(1, 1e9) == 3600.0
    assert compute_delay(8, 1.0) >= 15.0


def test_retry_after_is_seconds_or_a_date() -> None:
    assert parse_retry_after("7") == 7.0
    assert parse_retry_after(email.utils.formatdate(0, usegmt=True)) == 0.0
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT") is not None
    assert [parse_retry_after(text) for text in (None, "", "soon", "-1")] == [None] * 4
