"""Notices a connection that its server has closed, without asking the server.

A server that ends a session says so, and the operating system reports the end of the stream: both make the socket of an
idle connection readable. Peewee's pool asks every connection with a query instead, which costs a round trip each time.
"""

from __future__ import annotations

import select
from typing import Any


def has_unread_bytes(connection: Any) -> bool:
    """Return whether an idle psycopg2 connection has something to read, or may have: it is then worth a query."""
    try:
        return bool(select.select([connection], [], [], 0)[0])
    except (OSError, ValueError):
        # select() takes no file number over 1,023, and none of a closed socket.
        return True
