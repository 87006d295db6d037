"""Which steps count as a run, and as which kind."""

from __future__ import annotations

import pytest

from rules.actions import ACTIONS
from rules.runs import KINDS, kind_of


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
def test_what_reaches_the_contact_counts(action: str, with_: dict[str, str], kind: str) -> None:
    assert kind_of(action, with_) == kind


def test_every_other_action_counts_nothing() -> None:
    counting = {name for name in ACTIONS if kind_of(name, {})}
    assert counting <= {"reply_comment", "check_follow", "send_message", "send_email", "send_sms"}


def test_the_kinds_are_those_of_the_metrics() -> None:
    import metrics

    assert metrics.RUN_KINDS == KINDS
