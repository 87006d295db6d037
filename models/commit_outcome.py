"""A commit whose answer was lost: PostgreSQL got it, and the connection ended before it said what became of it.

Any other lost connection changes nothing. Callers that report an error to a person must not mix up the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee
import psycopg2

#: What changes something, besides the tables of a statement that only reads. `store_` begins the names of functions
#: that write, and are called with SELECT.
_CHANGES = re.compile(r"\b(insert|update|delete|merge|call|commit)\b|\bstore_", re.IGNORECASE)


class CommitUnknown(peewee.OperationalError):
    """The connection was lost after a commit was sent and before it was confirmed: it may have taken effect."""


@contextmanager
def reporting_lost_commits(connection: Any, sql: str) -> Iterator[None]:
    """Raise CommitUnknown where the block, which sends the statements of `sql` with their commit on this connection
    (None: there is none yet), loses it."""
    was_open = connection is not None and not connection.closed
    try:
        yield
    except CommitUnknown:
        raise
    except (psycopg2.OperationalError, peewee.OperationalError) as error:
        if was_open and connection.closed and _CHANGES.search(sql):
            driver_error = getattr(error, "orig", None) or error
            raise CommitUnknown(driver_error, *error.args) from error
        raise
