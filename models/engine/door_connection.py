"""The connection of a door: outside the pool, because a door writes one batch at a time, thousands a second."""

from __future__ import annotations

from typing import Any

from models import database
from models.commit_outcome import CommitUnknown, reporting_lost_commits
from models.connection_liveness import has_unread_bytes
from models.database import CONNECTION_ERRORS, db


class DoorConnection:
    """Runs a door's statements, each in a transaction of its own, on one connection that is opened at the first.

    One thread at a time uses it. A statement that fails because the connection was lost since the last one is tried
    again on a new connection: it must change nothing the second time.
    """

    def __init__(self) -> None:
        self._connection: Any = None
        self._pool_number = 0

    def fetch_values(self, sql: str, parameters: Any) -> list[Any]:
        """Run a statement and return the first column of every row. Raises psycopg2's errors, and CommitUnknown."""
        if self._pool_number != database.get_pool_number() or self._is_ended():
            self.close()
        is_reused = self._connection is not None
        try:
            return self._run(sql, parameters)
        except CONNECTION_ERRORS as error:
            self.close()
            if not is_reused:
                raise
            lost = error
        try:
            return self._run(sql, parameters)
        except CONNECTION_ERRORS:
            if isinstance(lost, CommitUnknown):
                raise lost from None
            raise

    def _is_ended(self) -> bool:
        """Whether PostgreSQL has ended the connection: a statement that is not sent has surely changed nothing."""
        return self._connection is not None and has_unread_bytes(self._connection)

    def _run(self, sql: str, parameters: Any) -> list[Any]:
        if self._connection is None:
            self._pool_number = database.get_pool_number()
            self._connection = database.open_dedicated_connection()
        with reporting_lost_commits(self._connection, sql), self._connection.cursor() as cursor:
            db.execute_bound(cursor, sql, parameters)
            return [row[0] for row in cursor.fetchall()]

    def close(self) -> None:
        """Close the connection; the next statement opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
