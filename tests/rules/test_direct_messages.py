"""Meta's 24-hour window, and the replies that a comment allows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rules.direct_messages import Comment, build_comment_answered_skip, check_delivery, parse_comment
from rules.eligibility import Skip
from rules.facts import format_time

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def check_message(kind: str = "message", **overrides: Any) -> Skip | None:
    facts = {"last_received": None, "comment": None, "now": NOW, **overrides}
    return check_delivery(kind, "instagram", **facts)


@pytest.mark.parametrize(
    ("ago", "is_open"),
    [
        (timedelta(0), True),
        (timedelta(hours=23, minutes=59, seconds=59), True),
        (timedelta(hours=24), False),
        (timedelta(days=3), False),
    ],
)
def test_the_window_is_open_for_a_day_after_the_contacts_message(ago: timedelta, is_open: bool) -> None:
    assert (check_message(last_received=NOW - ago) is None) is is_open


def test_a_closed_window_has_the_last_message_and_closing_times() -> None:
    skip = check_message(last_received=NOW - timedelta(hours=30))

    assert skip is not None
    assert skip.rule == "window_closed"
    assert skip.detail["limit"] == "24 hours"
    assert skip.detail["measured"] == {
        "last_received_at": "2026-05-03T04:00:00Z",
        "closed_at": "2026-05-04T04:00:00Z",
    }
    assert "Instagram" in skip.detail["words"]
    assert json.dumps(skip.detail)


def test_a_contact_who_never_messaged_us_has_no_window() -> None:
    skip = check_message(comment=Comment("178", NOW))
    assert skip is not None
    assert (skip.rule, skip.detail["measured"]["closed_at"]) == ("window_closed", None)
    assert "never sent a message" in skip.detail["words"]


@pytest.mark.parametrize(
    ("ago", "expected"), [(timedelta(0), None), (timedelta(days=6, hours=23), None), (timedelta(days=7), "too_old")]
)
def test_a_private_reply_needs_no_window_but_a_comment_of_seven_days(ago: timedelta, expected: str | None) -> None:
    skip = check_message("private_reply", comment=Comment("178", NOW - ago))
    assert (skip and skip.rule) == (expected and "comment_too_old")


def test_an_old_comment_has_the_limit_and_both_of_its_times() -> None:
    skip = check_message("private_reply", comment=Comment("178", NOW - timedelta(days=8)))
    assert skip is not None
    assert skip.detail["limit"] == "7 days"
    assert skip.detail["measured"] == {"commented_at": "2026-04-26T10:00:00Z", "ended_at": "2026-05-03T10:00:00Z"}


def test_a_comment_gets_one_private_reply() -> None:
    skip = build_comment_answered_skip()
    assert (skip.rule, skip.detail["limit"], skip.detail["measured"]) == ("comment_answered", 1, 1)


def test_a_public_reply_goes_to_a_comment_of_any_age() -> None:
    assert check_message("comment_reply", comment=Comment("178", NOW - timedelta(days=400))) is None


@pytest.mark.parametrize("kind", ["private_reply", "comment_reply"])
def test_a_deleted_comment_gets_no_reply(kind: str) -> None:
    skip = check_message(kind, comment=Comment("178", NOW), deleted_at=NOW)
    assert skip is not None
    assert (skip.rule, skip.detail["limit"], skip.detail["measured"]) == ("comment_deleted", kind, format_time(NOW))
    assert check_message("message", last_received=NOW, comment=Comment("178", NOW), deleted_at=NOW) is None


@pytest.mark.parametrize("kind", ["private_reply", "comment_reply"])
def test_without_a_comment_there_is_nothing_to_reply_to(kind: str) -> None:
    skip = check_message(kind, last_received=NOW)
    assert skip is not None
    assert (skip.rule, skip.detail["limit"], skip.detail["measured"]) == ("no_comment", kind, None)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"comment": {"id": "178", "at": "2026-05-01T10:00:00Z"}}, Comment("178", NOW - timedelta(days=3))),
        ({"comment": {"id": "178"}}, Comment("178", NOW)),
        ({"comment": {"id": 178, "at": "yesterday"}}, Comment("178", NOW)),
        ({"comment": {"id": "178", "at": "2026-05-01T10:00:00"}}, Comment("178", NOW)),
        ({"comment": {"id": " "}}, None),
        ({"comment": {}}, None),
        ({"comment": "178"}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_the_comment_is_parsed_from_the_triggers_payload(payload: object, expected: Comment | None) -> None:
    assert parse_comment(payload, NOW) == expected
