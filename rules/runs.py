"""What counts as a run: the first of these actions in an execution, once for a contact and automation in an hour.

The hour is kept in the database (`models/run.py`), where it is exact under racing workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal["comment_reply", "opening_dm", "follow_check", "main_dm"]

#: Every kind of run (semantics, section 11).
KINDS: tuple[Kind, ...] = ("comment_reply", "opening_dm", "follow_check", "main_dm")
#: Another run of the same contact and automation counts from this long after the last that counted.
WINDOW_SECONDS = 3600

_KIND_OF: dict[str, Kind] = {
    "reply_comment": "comment_reply",
    "check_follow": "follow_check",
    "send_message": "main_dm",
    "send_email": "main_dm",
    "send_sms": "main_dm",
}


def kind_of(action: str, with_: Mapping[str, object]) -> Kind | None:
    """As which kind a step's success counts, if it is the execution's first that does; None for all other steps.

    Notices and webhooks are not written to the contact, so they are none.
    """
    if action == "send_message" and with_.get("as") == "private_reply":
        return "opening_dm"
    return _KIND_OF.get(action)


def hours_until(present: int, hours: Sequence[int], newest: int | None) -> list[int]:
    """Runs in each of 24 hours, the oldest first and the `present` one last. `hours` are the counters of an automation:
    the newest first, which is the hour `newest` (hours since 1970; None where there was no run)."""
    past = 0 if newest is None else present - newest
    return [hours[place - past] if 0 <= place - past < len(hours) else 0 for place in reversed(range(24))]
