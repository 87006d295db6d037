"""Waits for PostgreSQL, which end when the server hangs or when the connection is dead.

A server that is stopped answers nothing, and neither does the other end of a connection that a proxy or a host has
forgotten; the operating system reports neither. Time alone does not tell them from a statement that takes long. So
whoever heard nothing for `Patience.silence_seconds` asks the server over a new connection what it is working on:

- it does not answer: it hangs. New connections are then refused at once, except one at a time that tries again;
- it answers, and does not work on this connection's statement: the connection is dead, and is closed. What its session
  may still hold ends with the session;
- it works on the statement: the wait goes on.

Every statement waits here: in the dashboard within gevent's event loop, elsewhere in the thread that sends it.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import structlog
from psycopg2 import extensions

log = structlog.get_logger(__name__)

#: Waits until a file is readable (False) or writable (True), at most so many seconds; returns whether it is.
WaitForFile = Callable[[int, bool, float | None], bool]


class ServerHangs(psycopg2.OperationalError):
    """The server accepts connections or keeps them, and does not answer."""


class ConnectionDead(psycopg2.OperationalError):
    """The server answers others, and does not work on this connection's statement."""


@dataclass(frozen=True)
class Patience:
    """For how many seconds a process hears nothing before it asks, and waits for a connection."""

    silence_seconds: float
    connect_seconds: float


#: Where nobody waits for an answer: a busy host is not a hanging one.
PATIENT = Patience(4.0, 5.0)
#: Where somebody does. Both together, and the delays of the answer, stay under 5 seconds.
BRIEF = Patience(1.25, 2.25)
#: A wait that goes on asks again after twice as long each time, up to this.
MAX_SILENCE_SECONDS = 10.0
#: An answer that is on its way has arrived after this long.
DELAY_SECONDS = 0.5
#: For this long, all waits share what the server said, and a hanging server is not tried again.
PAUSE_SECONDS = 1.0

_OPEN = (extensions.STATUS_READY, extensions.STATUS_BEGIN, extensions.STATUS_PREPARED)
#: A backend that waits for its client to take the answer, of which nothing arrives, serves a dead connection.
_LIST_WORKING = """
    select pid from pg_stat_activity where usename = session_user and pid <> pg_backend_pid()
    and state not in ('idle', 'idle in transaction', 'idle in transaction (aborted)')
    and wait_event is distinct from 'ClientWrite'
"""
_END = "select pg_terminate_backend(pid) from pg_stat_activity where usename = session_user and pid = %s"


class WatchedConnection(extensions.connection):
    """A connection whose waits end when it is dead."""

    #: Whether PostgreSQL's process of this connection is the one whose number the connection knows: not with a pooler.
    is_direct = False
    answered_at = 0.0


class _Question(extensions.connection):
    """A connection that asks what the server works on; it has this time for everything."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.ends_at = time.monotonic() + _patience.connect_seconds
        super().__init__(*arguments, **options)


class _Server:
    """What this process knows of the server of its pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parameters: dict[str, Any] = {}
        self._hangs = False
        self._tried_at = 0.0
        self._queried_at = 0.0
        #: How often it was asked what it works on.
        self.queries = 0
        self._working: frozenset[int] | None = None

    def use(self, parameters: Mapping[str, Any]) -> None:
        """Ask the server with these parameters of psycopg2 from now on."""
        self._parameters = dict(parameters)
        self._hangs, self._queried_at = False, 0.0

    def raise_if_hanging(self) -> None:
        """Raise ServerHangs if the server hung when it was tried last, except for one caller in PAUSE_SECONDS."""
        if not self._hangs:
            return
        now = time.monotonic()
        if now - self._tried_at < PAUSE_SECONDS:
            raise ServerHangs("PostgreSQL does not answer")
        self._tried_at = now + _patience.connect_seconds

    def note_answer(self) -> None:
        """Let everybody connect again."""
        if self._hangs:
            log.info("postgresql answers again")
            self._hangs = False

    def note_silence(self) -> ServerHangs:
        """Refuse connections for a while; return the error of the one that waited."""
        if not self._hangs:
            log.warning("postgresql hangs: it does not answer a new connection")
        self._hangs, self._tried_at = True, time.monotonic()
        return ServerHangs("PostgreSQL does not answer")

    def works_for(self, connection: WatchedConnection) -> bool:
        """Whether the server works on the connection's statement, or does not say. Raises ServerHangs."""
        with self._lock:
            if self._hangs and time.monotonic() - self._tried_at < PAUSE_SECONDS:
                raise ServerHangs("PostgreSQL does not answer")
            if time.monotonic() - self._queried_at > PAUSE_SECONDS:
                self.queries += 1
                self._working = self._list_working()
                self._queried_at = time.monotonic()
        if self._working is None:
            return True
        # A pooler has another number for each of its connections: any may be the one that works.
        return connection.info.backend_pid in self._working if connection.is_direct else bool(self._working)

    def _list_working(self) -> frozenset[int] | None:
        try:
            return frozenset(pid for (pid,) in self._ask(_LIST_WORKING))
        except ServerHangs:
            raise
        except psycopg2.Error as error:
            # Full, starting or changing: it answers, and its connections are read to their end.
            log.info("postgresql does not say what it works on", error=str(error).strip())
            return None

    def end_session(self, connection: WatchedConnection) -> None:
        """End what a dead connection leaves on the server: an open transaction keeps its locks."""
        if not connection.is_direct:
            return
        try:
            self._ask(_END, (connection.info.backend_pid,))
        except psycopg2.Error as error:
            log.info("the session of a dead connection is left", error=str(error).strip())

    def _ask(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(**self._parameters, connection_factory=_Question)) as question:
            question.autocommit = True
            with question.cursor() as cursor:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall())


server = _Server()
_patience = PATIENT


def wait_in_thread(file_number: int, for_writing: bool, seconds: float | None) -> bool:
    """Wait in the calling thread."""
    poll = select.poll()
    poll.register(file_number, select.POLLOUT if for_writing else select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def set_up(wait_for_file: WaitForFile = wait_in_thread, patience: Patience = PATIENT) -> None:
    """Make every statement of this process wait here."""
    global _patience
    _patience = patience
    extensions.set_wait_callback(lambda connection: _wait(connection, wait_for_file))


def _wait(connection: Any, wait_for_file: WaitForFile) -> None:
    started_at = time.monotonic()
    silence = _patience.silence_seconds
    while (state := connection.poll()) != extensions.POLL_OK:
        for_writing = state == extensions.POLL_WRITE
        if wait_for_file(connection.fileno(), for_writing, _limit(connection, started_at, silence)):
            continue
        if not isinstance(connection, WatchedConnection) or connection.status not in _OPEN:
            raise server.note_silence()
        if not server.works_for(connection) and not wait_for_file(connection.fileno(), for_writing, DELAY_SECONDS):
            server.end_session(connection)
            raise ConnectionDead("the connection to PostgreSQL is dead")
        silence = min(silence * 2, MAX_SILENCE_SECONDS)
    if isinstance(connection, WatchedConnection):
        connection.answered_at = time.monotonic()
        server.note_answer()


def _limit(connection: Any, started_at: float, silence: float) -> float | None:
    """Return for how many seconds to wait for the next bytes; None without a limit."""
    if isinstance(connection, _Question):
        return max(connection.ends_at - time.monotonic(), 0.0)
    if connection.status not in _OPEN:
        return max(started_at + _patience.connect_seconds - time.monotonic(), 0.0)
    return silence if isinstance(connection, WatchedConnection) else None
