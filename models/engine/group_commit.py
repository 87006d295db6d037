"""Group commit: one thread per process collects the claims and records of all threads and commits them together.

A thread that claims or records continues once its own entry is durable; entries that arrive during one commit go into
the next. So each entry has the guarantees of its own commit at a fraction of the cost (one commit and one statement
for all).

When PostgreSQL is unavailable, the thread keeps trying. The fence rejects a record that did commit before the
connection broke, and the retry recognizes it: only this process's record can have raised that fence by one and left
this state. A claim that did commit is not returned again: its lease expires and the sweep finds the execution.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import psycopg2
import structlog
from peewee import SQL, Value

from models.database import CONNECTION_ERRORS, db, transaction
from models.engine import effects, runs
from models.engine.claim_and_record import CLAIM, CLAIM_IN_TURNS, RECORD, RECORD_AND_COUNT, SET_PLANNER, Statement
from models.engine.records import ExecutionRecord
from models.engine.rows import ClaimedRow, parse_claimed_row
from models.expressions import is_any, is_locked, now
from models.queries import execute, fetch_values
from models.tables import Execution
from rules.json_text import dump_storable_json
from rules.stages import Queue

log = structlog.get_logger(__name__)

#: Entries in one commit at most, so that no thread waits long for a large batch.
MAX_BATCH_SIZE = 256
#: Seconds that a batch waits for entries from threads that are working.
COMMIT_DELAY_SECONDS = 0.006
#: Seconds that a batch waits for entries of other executions, where `BUSY_ENTRIES` came within the last
#: `BUSY_WINDOW_SECONDS`: those of two executions at least, so one that is alone waits for nobody.
GATHER_DELAY_SECONDS = 0.005
BUSY_WINDOW_SECONDS, BUSY_ENTRIES = 0.05, 8
#: Before every id.
FIRST_ID = "00000000-0000-0000-0000-000000000000"
#: Counting runs waits no longer for a lock than this, in the transaction of its record.
_SET_LOCK_TIMEOUT = "set local lock_timeout = %(lock_timeout_ms)s; "
#: Seconds for which a batch is retried while PostgreSQL is unavailable; then its threads get the error.
MAX_OUTAGE_SECONDS = 120.0


class CommitFuture:
    """The outcome of one entry: `result` waits for it; a callback is called with the future."""

    __slots__ = ("_callback", "_error", "_settled", "_value")

    def __init__(self, callback: Callable[[CommitFuture], None] | None = None) -> None:
        self._settled = threading.Lock()
        self._settled.acquire()
        self._callback = callback
        self._value: Any = None
        self._error: Exception | None = None

    def result(self) -> Any:
        """Wait for the value and return it, or raise the error of the commit."""
        with self._settled:
            if self._error is not None:
                raise self._error
            return self._value

    def settle(self, value: Any, error: Exception | None = None) -> None:
        """Set the outcome, once."""
        self._value, self._error = value, error
        self._settled.release()
        if self._callback is not None:
            self._callback(self)


class _ClaimRequest(NamedTuple):
    """Executions that one worker requests. One with an expired lease is claimed only if it is requested alone."""

    ids: Sequence[str]


class _TurnsRequest(NamedTuple):
    """So many due executions of a queue, of whichever workspace's turn it is."""

    queue: Queue
    size: int


_Request = _ClaimRequest | _TurnsRequest
_Entry = tuple[_Request | ExecutionRecord, CommitFuture]


class GroupCommit:
    """Claims and records executions for every thread of this process, under one lease owner's name."""

    def __init__(self, owner: str, lease_seconds: float, run_tracking: bool | None = None) -> None:
        self.owner = owner
        self.lease_seconds = lease_seconds
        self.commits = 0
        self.tracker = runs.Tracker(run_tracking)
        #: The workspace of each queue that was served last.
        self._last_served: dict[Queue, str] = {}
        self._tracked_runs: list[runs.TrackedRun] = []
        #: Whether threads are working that will soon submit a record.
        self.expects_more: Callable[[], bool] = bool
        self._flush_requested = threading.Event()
        self._closing = threading.Event()
        #: When the last entries came.
        self._arrivals: deque[float] = deque(maxlen=BUSY_ENTRIES)
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        #: The connection that was checked, and whether it keeps prepared statements.
        self._checked_connection: Any = None
        self._can_prepare = False
        #: Whether that connection has also prepared the statement that counts runs.
        self._can_count = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def claim_many(self, execution_ids: Sequence[str]) -> list[ClaimedRow]:
        """Take the leases of executions and read everything that a worker needs; return those that could be claimed.

        An execution with an expired lease is skipped if it is requested together with others: if it kills its worker,
        the others' deliveries would be counted as dead each time.
        """
        return [parse_claimed_row(row) for row in self._submit_and_wait(_ClaimRequest(execution_ids))]

    def claim_in_turns(self, queue: Queue, count: int) -> list[ClaimedRow]:
        """Claim as `claim_many` does, but at most `count` due executions of a queue, in turns between workspaces."""
        return [parse_claimed_row(row) for row in self._submit_and_wait(_TurnsRequest(queue, count))]

    def record(self, record: ExecutionRecord) -> bool:
        """Make the record durable; return False, with nothing written, if the lease was lost."""
        return self._submit_and_wait(record)  # type: ignore[no-any-return]

    def submit(self, record: ExecutionRecord, callback: Callable[[CommitFuture], None]) -> None:
        """Record without waiting: `callback` is called when the record is durable or rejected.

        The group commit's own thread calls it, so it must not block.
        """
        self._queue.put((record, CommitFuture(callback)))

    def flush(self) -> None:
        """Commit without further delay: no thread is working."""
        self._flush_requested.set()

    def close(self) -> None:
        """Write every submitted entry, then end the thread."""
        self._queue.put(None)
        self._closing.set()
        self.flush()
        self._thread.join()

    def _submit_and_wait(self, item: _Request | ExecutionRecord) -> Any:
        future = CommitFuture()
        self._queue.put((item, future))
        return future.result()

    def _run(self) -> None:
        while batch := self._gather():
            self._commit(batch)
        # Not returned to the pool: its session settings and prepared statements are its own.
        self._disconnect()

    def _gather(self) -> list[_Entry]:
        """Return the queued entries, after a short wait for those of working threads; an empty list at the end.

        A statement costs more than one entry of it, so the next entries of working threads are worth a wait.
        """
        entry = self._queue.get()
        self._flush_requested.clear()
        if entry is not None and self.expects_more():
            self._flush_requested.wait(COMMIT_DELAY_SECONDS)
        elif entry is not None and self._is_busy():
            self._closing.wait(GATHER_DELAY_SECONDS)
        batch: list[_Entry] = []
        while entry is not None:
            batch.append(entry)
            self._arrivals.append(time.monotonic())
            if len(batch) == MAX_BATCH_SIZE or self._queue.empty():
                return batch
            entry = self._queue.get()
        if batch:
            self._queue.put(None)
        return batch

    def _is_busy(self) -> bool:
        """Whether so many entries came recently that others will come soon."""
        return len(self._arrivals) == BUSY_ENTRIES and time.monotonic() - self._arrivals[0] < BUSY_WINDOW_SECONDS

    def _commit(self, batch: list[_Entry]) -> None:
        """Write records first: their executions are already claimed and threads wait to continue them."""
        for group in _split_by_execution(
            [(item, future) for item, future in batch if isinstance(item, ExecutionRecord)]
        ):
            self._settle(group, self._write_records)
        self._settle([(item, future) for item, future in batch if isinstance(item, _ClaimRequest)], self._write_claims)
        in_turns = [(item, future) for item, future in batch if isinstance(item, _TurnsRequest)]
        for queue_name in dict.fromkeys(item.queue for item, _ in in_turns):
            self._settle([entry for entry in in_turns if entry[0].queue == queue_name], self._write_turns)
        # After every thread has its result.
        runs.report_runs(self._tracked_runs)
        self._tracked_runs.clear()

    def _settle(self, entries: Sequence[_Entry], write: Callable[[list[Any], bool], list[Any]]) -> None:
        """Write entries of one kind in one commit and settle each future."""
        if not entries:
            return
        try:
            values = self._persist([item for item, _ in entries], write)
        except Exception as error:
            if len(entries) > 1 and not isinstance(error, CONNECTION_ERRORS):
                # One entry that PostgreSQL rejects must not fail the others.
                for entry in entries:
                    self._settle([entry], write)
                return
            for _, future in entries:
                future.settle(None, error)
            return
        for (_, future), value in zip(entries, values, strict=True):
            future.settle(value)

    def _persist(self, items: list[Any], write: Callable[[list[Any], bool], list[Any]]) -> list[Any]:
        deadline = time.monotonic() + MAX_OUTAGE_SECONDS
        delay, is_retry = 0.05, False
        while True:
            try:
                values = write(items, is_retry)
                self.commits += 1
                return values
            except CONNECTION_ERRORS as error:
                is_retry = True
                self._disconnect()
                if time.monotonic() > deadline:
                    raise
                log.warning(
                    "postgres is unavailable, group commit retries", error=str(error).strip(), entries=len(items)
                )
                time.sleep(delay)
                delay = min(delay * 2, 1.0)

    def _write_records(self, records: list[ExecutionRecord], is_retry: bool) -> list[bool]:
        """Write the records; return for each whether it is durable. Runs are counted, or marked as due on failure."""
        connection, count_runs = self._connect(), self.tracker.should_count(records)
        try:
            if count_runs:
                self._prepare_counting(connection)
            moved = self._write_records_once(records, is_retry, count_runs=count_runs)
        except psycopg2.Error as error:
            if not count_runs or connection.closed:
                raise
            count_runs = False
            moved = self._write_records_once(records, is_retry, count_runs=count_runs)
            self.tracker.back_off(error)
        if not count_runs:
            self.tracker.report_due(records)
        return [record.execution_id in moved for record in records]

    def _write_records_once(self, records: list[ExecutionRecord], is_retry: bool, *, count_runs: bool) -> set[str]:
        # A single statement is its own transaction, which saves two round trips.
        needs_transaction = is_retry or any(record.effects for record in records)
        connection = self._connect()
        with connection.cursor() as cursor:
            try:
                if needs_transaction:
                    db.begin()
                already_written = self._find_already_written(cursor, records) if is_retry else set()
                moved, tracked = self._run_record_statement(
                    cursor, records, count_runs, single_statement=not needs_transaction
                )
                for record in records:
                    if record.effects and record.execution_id in moved:
                        effects.apply(cursor, record.execution_id, record.effects)
                if needs_transaction:
                    cursor.execute("commit")
            except Exception:
                # Whatever the error: a half-written batch must not commit with the next one.
                if needs_transaction and not connection.closed:
                    cursor.execute("rollback")
                raise
        self._tracked_runs += tracked
        return moved | already_written

    def _run_record_statement(
        self, cursor: Any, records: list[ExecutionRecord], count_runs: bool, *, single_statement: bool
    ) -> tuple[set[str], list[runs.TrackedRun]]:
        executions = [
            {
                "id": record.execution_id,
                "expected": record.fence,
                **record.state,
                **self.tracker.build_run_columns(record, count_runs),
            }
            for record in records
        ]
        lists = (
            executions,
            [stage for record in records for stage in record.stages],
            [step for record in records for step in record.steps],
            [message for record in records for message in record.messages],
        )
        ids = [record.execution_id for record in records]
        recipients = dump_storable_json([row for record in records for row in record.recipients])
        arguments = (*(dump_storable_json(items) for items in lists), ids, min(ids), max(ids), recipients)
        if count_runs:
            sql = _SET_LOCK_TIMEOUT + self._select_sql(RECORD_AND_COUNT)
            parameters = Statement.build_parameters((*arguments, self.tracker.override))
            parameters["lock_timeout_ms"] = runs.LOCK_TIMEOUT_MS
        else:
            sql, parameters = self._select_sql(RECORD), Statement.build_parameters(arguments)
        if single_statement:
            db.execute_bound(cursor, sql, parameters)
        else:
            cursor.execute(sql, parameters)
        rows = cursor.fetchall()
        tracked = [runs.TrackedRun(id, *run_columns) for id, _, *run_columns in rows if run_columns[0] is not None]
        return {values[0] for values in rows}, tracked

    def _connect(self) -> Any:
        db.connect(reuse_if_open=True)
        connection = db.connection()
        if self._checked_connection is not connection:
            connection.autocommit = True
            self._can_prepare, self._can_count = connection.has_settings, False
            if self._can_prepare:
                self._prepare(connection)
            self._checked_connection = connection
        return connection

    def _prepare(self, connection: Any) -> None:
        statements = [statement.prepare_sql for statement in (CLAIM, CLAIM_IN_TURNS, RECORD)]
        with connection.cursor() as cursor:
            db.execute_bound(cursor, "; ".join(["deallocate all", SET_PLANNER, *statements]), None)

    def _select_sql(self, statement: Statement) -> str:
        return statement.execute_sql if self._can_prepare else statement.unprepared_sql

    def _prepare_counting(self, connection: Any) -> None:
        """Prepare the statement that counts runs, before its first use on this connection.

        It is not prepared with the others: PostgreSQL waits for a lock on the tables of the runs even to prepare it,
        and a claim or a record must not wait for that.
        """
        if not self._can_prepare or self._can_count:
            return
        with connection.cursor() as cursor:
            prepare_sql = RECORD_AND_COUNT.prepare_sql.replace("%", "%%")
            db.execute_bound(cursor, _SET_LOCK_TIMEOUT + prepare_sql, {"lock_timeout_ms": runs.LOCK_TIMEOUT_MS})
        self._can_count = True

    def _disconnect(self) -> None:
        self._checked_connection = None
        if not db.is_closed():
            db.manual_close()

    def _write_claims(self, claims: list[_ClaimRequest], _is_retry: bool) -> list[list[dict[str, Any]]]:
        execution_ids = list({execution_id for claim in claims for execution_id in claim.ids})
        single_ids = [claim.ids[0] for claim in claims if len(claim.ids) == 1]
        bounds = min(execution_ids, default=FIRST_ID), max(execution_ids, default=FIRST_ID)
        rows = self._run_claim(CLAIM, (execution_ids, self.owner, self.lease_seconds, single_ids, *bounds))
        rows_by_id = {row["id"]: row for row in rows}
        # An execution requested twice in one batch is returned once.
        return [
            [rows_by_id.pop(execution_id) for execution_id in claim.ids if execution_id in rows_by_id]
            for claim in claims
        ]

    def _write_turns(self, requests: list[_TurnsRequest], _is_retry: bool) -> list[list[dict[str, Any]]]:
        """Claim for all requests of one queue, and divide what was claimed between them."""
        queue_name = requests[0].queue
        count, last_served = sum(request.size for request in requests), self._last_served.get(queue_name, FIRST_ID)
        rows = self._run_claim(CLAIM_IN_TURNS, (queue_name, self.owner, self.lease_seconds, count, last_served))
        if rows:
            self._last_served[queue_name] = max(rows, key=lambda row: row["turn"])["workspace_id"]
        claimed = iter(rows)
        return [list(islice(claimed, request.size)) for request in requests]

    def _run_claim(self, statement: Statement, values: Sequence[Any]) -> list[dict[str, Any]]:
        with self._connect().cursor() as cursor:
            sent_monotonic = time.monotonic()
            db.execute_bound(cursor, self._select_sql(statement), Statement.build_parameters(values))
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            return [{**row, "sent_monotonic": sent_monotonic} for row in rows]

    def _find_already_written(self, cursor: Any, records: Sequence[ExecutionRecord]) -> set[str]:
        """Return the records that the previous commit made durable although its response was lost."""
        expected = {record.execution_id: (record.fence + 1, record.state["status"]) for record in records}
        query = Execution.select(Execution.id, Execution.fence, Execution.status).where(
            is_any(Execution.id, list(expected)),
            (Execution.status != "running") | (Execution.lease_owner == self.owner),
        )
        cursor.execute(*query.sql())
        return {id for id, *state in cursor.fetchall() if tuple(state) == expected[id]}


def _split_by_execution(
    entries: list[tuple[ExecutionRecord, CommitFuture]],
) -> Iterator[list[tuple[ExecutionRecord, CommitFuture]]]:
    """Split entries so that an execution occurs once in each group: between two records of it, the fence decides."""
    while entries:
        group: dict[str, tuple[ExecutionRecord, CommitFuture]] = {}
        for entry in entries:
            group.setdefault(entry[0].execution_id, entry)
        yield list(group.values())
        entries = [entry for entry in entries if group[entry[0].execution_id] is not entry]


def extend_leases(owner: str, execution_ids: Sequence[str], lease_seconds: float) -> set[str]:
    """Extend the leases that `owner` still holds; return their ids, without those it lost."""
    # Locked in one order for every process, so that two of them cannot deadlock.
    owned = (
        Execution.select(Execution.id)
        .where(is_any(Execution.id, execution_ids), Execution.status == "running", Execution.lease_owner == owner)
        .order_by(Execution.id)
        .for_update()
        .cte("owned", materialized=True)
    )
    extended = (
        Execution.update(lease_until=now() + Value(lease_seconds) * SQL("interval '1 second'"))
        .from_(owned)
        .where(is_locked(Execution.id, owned))
        .with_cte(owned)
        .returning(Execution.id)
    )
    with transaction():
        # Planned each time: the newest partition may have been empty when it was last analyzed.
        execute("set local enable_seqscan = off")
        return set(fetch_values(extended))
