"""Fences the transactions of periodic jobs with the token of the scheduler's leadership (`models.leadership`).

Inside `fenced` every transaction of the thread compares the token when it begins. If it changed something, it locks the
leadership's row as well, in the message of its COMMIT. A takeover changes the token under a lock that waits for this
one. So a transaction of an earlier leader commits before the takeover or not at all, however long its process stood
still; and a takeover waits for a commit, never for a transaction.

A transaction that changed nothing has no transaction id. It locks nothing, because a lock would cost a write.

The statements are written by hand: they raise an error in the middle of a message, before the statement that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

#: No other error has this text.
_MARK = "this scheduler no longer leads"
#: After BEGIN. PostgreSQL also ends a transaction that stands still before another scheduler can lead, which frees its
#: rows for that one.
CHECK = """
    select set_config('idle_in_transaction_session_timeout', '10000', true),
        case when exists (select 1 from leadership where token = %s) then 0
            else ('this scheduler no longer leads: ' || current_user)::integer end
"""
#: Before COMMIT, in one message with it.
LOCK = """
    select case when pg_current_xact_id_if_assigned() is null then 0
        when exists (select 1 from leadership where token = %s for share) then 0
        else ('this scheduler no longer leads: ' || current_user)::integer end
"""


class LeadershipLost(Exception):
    """Another scheduler leads, or the leadership's row is gone: the transaction changed nothing."""


@dataclass(frozen=True)
class Fence:
    """The token of a leadership, and a function that is called whenever a transaction begins or commits."""

    token: str
    note_progress: Callable[[], None]


_fence: ContextVar[Fence | None] = ContextVar("fence", default=None)


@contextmanager
def fenced(fence: Fence) -> Iterator[None]:
    """Fence every transaction that the block begins in this thread; one that is refused raises `LeadershipLost`."""
    previous = _fence.set(fence)
    try:
        yield
    finally:
        _fence.reset(previous)


def get_fence() -> Fence | None:
    """Return the fence of the thread's transactions, or None."""
    return _fence.get()


def is_refusal(error: Exception) -> bool:
    """Return whether PostgreSQL refused the token."""
    return _MARK in str(error)
