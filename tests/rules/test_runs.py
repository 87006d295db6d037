"""Which steps count as a run, and as which kind."""

from __future__ import annotations

import pytest

from rules.actions import ACTIONS
from rules.runs import build_hourly_counts, find_run_kind


@pytest.mark.parametrize(
    ("action", "with_", "kind"),
    [
        ("reply_comment", {}, "comment_reply"),
        ("send_message", {"as": "private_reply"}, "opening_dm"),
        ("check_follow", {}, "follow_check"),
        ("send_message", {"as": "message"}, "main_dm"),
        ("send_message", {}, "main_dm"),
        ("send_email", {}, "main_dm"),
        ("send_sms", {}, "main_dm"),
    ],
)
def test_an_action_that_reaches_the_contact_counts(action: str, with_: dict[str, str], kind: str) -> None:
    assert find_run_kind(action, with_) == kind


def test_every_other_action_counts_nothing() -> None:
    counting = {name for name in ACTIONS if find_run_kind(name, {})}
    assert counting <= {"reply_comment", "check_follow", "send_message", "send_email", "send_sms"}


@pytest.mark.parametrize(
    ("hours", "newest", "expected"),
    [
        ([], None, [0] * 24),
        ([5, 4], None, [*[0] * 22, 4, 5]),
        ([5, 4, *[0] * 22], 1000, [*[0] * 22, 4, 5]),
        ([5, *[0] * 22, 7], 998, [*[0] * 21, 5, 0, 0]),
        ([5] * 24, 970, [0] * 24),
        # Counted in an hour that began after the query.
        ([9, 5, *[0] * 21, 7], 1001, [0, 7, *[0] * 21, 5]),
    ],
)
def test_the_hours_of_the_last_day_end_with_the_current_one(
    hours: list[int], newest: int | None, expected: list[int]
) -> None:
    assert build_hourly_counts(1000, hours, newest) == expected
