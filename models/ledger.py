"""The one writer of a process: it gathers what the threads want claimed or recorded and commits it together.

Whoever claims or records goes on once its own part is durable; meanwhile the parts of the others that came during the
last commit travel in the next one. So the guarantees are those of a commit for each, at a fraction of the price (one
commit and one statement for all). The story of one execution goes on in `tasks/executions`.

When PostgreSQL goes away, the writer keeps trying. A record that did commit before the connection broke is refused by
its fence the second time, and then recognised: only our own record can have raised that fence by one and left this
state. A claim that did commit is not given again: its lease runs out and the sweep finds the execution.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import psycopg2
import structlog

from models import effects, run
from models.database import CONNECTION_ERRORS, Row, db, is_direct
from models.json_text import json_text
from models.ledger_sql import CLAIM, PLANNING, RECORD, RECORD_AND_COUNT, Statement
from models.progress import Progress

log = structlog.get_logger(__name__)

#: No more than this many parts in one commit, so that nobody waits for a giant.
LARGEST_BATCH = 256
#: How long a batch waits, in seconds, for what threads that are at work will soon have for it.
PATIENCE_SECONDS = 0.006
#: Seconds for which a batch is tried again while PostgreSQL is away; then its threads are told.
LONGEST_OUTAGE_SECONDS = 120.0


class Answer:
    """What became of one part: whoever asks waits for it; who hands in is called with it."""

    __slots__ = ("_error", "_follow", "_settled", "_value")

    def __init__(self, follow: Callable[[Answer], None] | None = None) -> None:
        self._settled = threading.Lock()
        self._settled.acquire()
        self._follow = follow
        self._value: Any = None
        self._error: Exception | None = None

    def result(self) -> Any:
        """The value, or what the ledger raised."""
        with self._settled:
            if self._error is not None:
                raise self._error
            return self._value

    def settle(self, value: Any, error: Exception | None = None) -> None:
        """Say what became of it, once."""
        self._value, self._error = value, error
        self._settled.release()
        if self._follow is not None:
            self._follow(self)


class _Claim(NamedTuple):
    """Executions that one worker wants. What a dead worker left is taken over only where it is asked for alone."""

    ids: Sequence[str]


_Part = tuple[_Claim | Progress, Answer]


class Ledger:
    """Claims and records for every thread of this process, under one lease owner's name."""

    def __init__(self, owner: str, lease_seconds: float, run_tracking: bool | None = None) -> None:
        self.owner = owner
        self.lease_seconds = lease_seconds
        self.commits = 0
        self.tracker = run.Tracker(run_tracking)
        self._tracked: list[run.Tracked] = []
        #: Whether threads are at work that will soon want something recorded.
        self.expects_more: Callable[[], bool] = bool
        self._nobody_at_work = threading.Event()
        self._parts: queue.SimpleQueue[_Part | None] = queue.SimpleQueue()
        #: The connection that was looked at, and whether it keeps what is prepared on it.
        self._looked_at: Any = None
        self._keeps_prepared = False
        self._thread = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._thread.start()

    def claim(self, execution_id: str) -> Row | None:
        """Take the execution's lease and read all that it needs; None if it is not there to be taken."""
        return next(iter(self.claim_many([execution_id])), None)

    def claim_many(self, execution_ids: Sequence[str]) -> list[Row]:
        """The same for several, those that are there to be taken.

        An execution whose worker died is left where it is wanted together with others: if it killed its worker, the
        others would be counted as having died with it again and again.
        """
        return self._ask(_Claim(execution_ids))  # type: ignore[no-any-return]

    def record(self, progress: Progress) -> bool:
        """Make the progress durable; False if the lease is another's by now, and then nothing was written."""
        return self._ask(progress)  # type: ignore[no-any-return]

    def hand_in(self, progress: Progress, follow: Callable[[Answer], None]) -> None:
        """The same, for a thread that need not wait: `follow` is called when the progress is durable or refused, by
        the ledger's own thread, which it must not keep."""
        self._parts.put((progress, Answer(follow)))

    def hurry(self) -> None:
        """Wait for nothing more: no thread is at work."""
        self._nobody_at_work.set()

    def close(self) -> None:
        """Write what was handed in, then end the thread."""
        self._parts.put(None)
        self.hurry()
        self._thread.join()

    def _ask(self, part: _Claim | Progress) -> Any:
        answer = Answer()
        self._parts.put((part, answer))
        return answer.result()

    def _write(self) -> None:
        while batch := self._gather():
            self._commit(batch)
        # Not back to the pool: this connection is used in a way that nobody else expects.
        self._disconnect()

    def _gather(self) -> list[_Part]:
        """What there is to write, with what comes within a moment from threads that are at work; nothing at the end.

        A statement costs more than a part of it, so while threads are at work their next parts are worth a wait.
        """
        part = self._parts.get()
        self._nobody_at_work.clear()
        if part is not None and self.expects_more():
            self._nobody_at_work.wait(PATIENCE_SECONDS)
        batch: list[_Part] = []
        while part is not None:
            batch.append(part)
            if len(batch) == LARGEST_BATCH or self._parts.empty():
                return batch
            part = self._parts.get()
        if batch:
            self._parts.put(None)
        return batch

    def _commit(self, batch: list[_Part]) -> None:
        """Records first: somebody is waiting to go on with what is claimed already."""
        for turn in _turns([(part, answer) for part, answer in batch if isinstance(part, Progress)]):
            self._settle(turn, self._recorded)
        self._settle([(part, answer) for part, answer in batch if isinstance(part, _Claim)], self._claimed)
        # Once nobody waits any more.
        run.tell(self._tracked)
        self._tracked.clear()

    def _settle(self, parts: Sequence[_Part], write: Callable[[list[Any], bool], list[Any]]) -> None:
        """Write parts of one kind in one commit, and say of each what became of it."""
        if not parts:
            return
        try:
            values = self._persist([part for part, _ in parts], write)
        except Exception as error:
            if len(parts) > 1 and not isinstance(error, CONNECTION_ERRORS):
                # One part that PostgreSQL refuses must not take the others with it.
                for part in parts:
                    self._settle([part], write)
                return
            for _, answer in parts:
                answer.settle(None, error)
            return
        for (_, answer), value in zip(parts, values, strict=True):
            answer.settle(value)

    def _persist(self, parts: list[Any], write: Callable[[list[Any], bool], list[Any]]) -> list[Any]:
        deadline = time.monotonic() + LONGEST_OUTAGE_SECONDS
        pause, again = 0.05, False
        while True:
            try:
                values = write(parts, again)
                self.commits += 1
                return values
            except CONNECTION_ERRORS as error:
                again = True
                self._disconnect()
                if time.monotonic() > deadline:
                    raise
                log.warning("postgres is away, the ledger waits", error=str(error).strip(), parts=len(parts))
                time.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _recorded(self, records: list[Progress], again: bool) -> list[bool]:
        """Of each whether it is on record now; runs are counted with it, or marked as due where that fails."""
        connection, counts = self._connection(), self.tracker.counts(records)
        try:
            moved = self._record(records, again, counts=counts)
        except psycopg2.Error as error:
            if not counts or connection.closed:
                raise
            counts = False
            moved = self._record(records, again, counts=counts)
            self.tracker.rest(error)
        if not counts:
            self.tracker.tell_due(records)
        return [record.execution_id in moved for record in records]

    def _record(self, records: list[Progress], again: bool, *, counts: bool) -> set[str]:
        # One question to the server is a transaction by itself, and spares it two more.
        together = again or any(record.effects for record in records)
        connection = self._connection()
        with connection.cursor() as cursor:
            try:
                if together:
                    db.begin()
                written = self._already_written(cursor, records) if again else set()
                moved, tracked = self._write_down(cursor, records, counts, alone=not together)
                for record in records:
                    if record.effects and record.execution_id in moved:
                        effects.apply(cursor, record.execution_id, record.effects)
                if together:
                    cursor.execute("commit")
            except Exception:
                # Whatever it was: a half-written batch must not be committed with the next one.
                if together and not connection.closed:
                    cursor.execute("rollback")
                raise
        self._tracked += tracked
        return moved | written

    def _write_down(
        self, cursor: Any, records: list[Progress], counts: bool, *, alone: bool
    ) -> tuple[set[str], list[run.Tracked]]:
        executions = [
            {
                "id": record.execution_id,
                "expected": record.fence,
                **record.state,
                **self.tracker.said_of(record, counts),
            }
            for record in records
        ]
        lists = (
            executions,
            [stage for record in records for stage in record.stages],
            [step for record in records for step in record.steps],
            [message for record in records for message in record.messages],
        )
        given = (*(json_text(part) for part in lists), [record.execution_id for record in records])
        if counts:
            sql = f"set local lock_timeout = {run.LOCK_TIMEOUT_MS}; {RECORD_AND_COUNT.run(self._keeps_prepared)}"
            parameters = Statement.parameters((*given, self.tracker.forced))
        else:
            sql, parameters = RECORD.run(self._keeps_prepared), Statement.parameters(given)
        if alone:
            db.execute_bound(cursor, sql, parameters)
        else:
            cursor.execute(sql, parameters)
        found = cursor.fetchall()
        tracked = [run.Tracked(id, *looked_at) for id, _, *looked_at in found if looked_at[0] is not None]
        return {values[0] for values in found}, tracked

    def _connection(self) -> Any:
        db.connect(reuse_if_open=True)
        connection = db.connection()
        if self._looked_at is not connection:
            connection.autocommit = True
            self._keeps_prepared = is_direct(connection)
            if self._keeps_prepared:
                self._prepare(connection)
            self._looked_at = connection
        return connection

    def _prepare(self, connection: Any) -> None:
        statements = [statement.prepare for statement in (CLAIM, RECORD, RECORD_AND_COUNT)]
        with connection.cursor() as cursor:
            db.execute_bound(cursor, "; ".join(["deallocate all", PLANNING, *statements]), None)

    def _disconnect(self) -> None:
        self._looked_at = None
        if not db.is_closed():
            db.manual_close()

    def _claimed(self, claims: list[_Claim], _again: bool) -> list[list[Row]]:
        wanted = list({one for claim in claims for one in claim.ids})
        alone = [claim.ids[0] for claim in claims if len(claim.ids) == 1]
        with self._connection().cursor() as cursor:
            db.execute_bound(
                cursor,
                CLAIM.run(self._keeps_prepared),
                Statement.parameters((wanted, self.owner, self.lease_seconds, alone)),
            )
            names = [column.name for column in cursor.description]
            found = {values[0]: dict(zip(names, values, strict=True)) for values in cursor.fetchall()}
        # The same execution wanted twice in one batch is given once.
        return [[found.pop(one) for one in claim.ids if one in found] for claim in claims]

    def _already_written(self, cursor: Any, records: Sequence[Progress]) -> set[str]:
        """Records that the commit before this one made durable, although its answer was lost."""
        wrote = [{"id": one.execution_id, "fence": one.fence + 1, "status": one.state["status"]} for one in records]
        cursor.execute(
            "select e.id from executions e join json_to_recordset(%s) as w(id uuid, fence integer, status text) "
            "on e.id = w.id and e.fence = w.fence and e.status = w.status "
            "where e.status <> 'running' or e.lease_owner = %s",
            (json_text(wrote), self.owner),
        )
        return {values[0] for values in cursor.fetchall()}


def _turns(records: list[tuple[Progress, Answer]]) -> Iterator[list[tuple[Progress, Answer]]]:
    """What is written one after the other: where an execution comes twice, its fence must decide."""
    while records:
        turn: dict[str, tuple[Progress, Answer]] = {}
        for one in records:
            turn.setdefault(one[0].execution_id, one)
        yield list(turn.values())
        records = [one for one in records if turn[one[0].execution_id] is not one]


def extend_leases(owner: str, execution_ids: Sequence[str], lease_seconds: float) -> set[str]:
    """Hold on to the executions that `owner` still has; the ids of those it lost are missing from the answer."""
    cursor = db.execute_sql(
        "with ours as materialized (select id from executions where id = any(%s::uuid[]) and status = 'running' "
        "and lease_owner = %s order by id for update) "
        "update executions e set lease_until = beckon_now() + make_interval(secs => %s) from ours "
        "where e.id = ours.id returning e.id",
        (list(execution_ids), owner, lease_seconds),
    )
    return {values[0] for values in cursor.fetchall()}
