"""Group commit when PostgreSQL's response is lost: a committed batch is recognized and not written again."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

import settings
from models import database, queries
from models.engine.claim_and_record import CLAIM, RECORD, RECORD_AND_COUNT, SET_PLANNER
from models.engine.group_commit import GroupCommit
from rules.definition import parse
from tasks.runtime import broker, moves
from tasks.runtime.claimed_execution import ClaimedExecution
from tests.support.concurrency import claim
from tests.support.engine_fixtures import stop_engine
from tests.support.factories import HELLO, Alice, counters, execution


class DisconnectingProxy:
    """A proxy before PostgreSQL that, with `cut_next` set, drops the next record's or claim's response and
    disconnects."""

    def __init__(self, directory: Path, upstream: str) -> None:
        self.cut_next = threading.Event()
        self.cuts = 0
        self._upstream = upstream
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._upstream)
        committing = threading.Event()
        threading.Thread(target=self._forward_responses, args=(server, client, committing), daemon=True).start()
        with closing(client), closing(server):
            while request := self._receive(client):
                # Alone in its batch, a record or a claim commits itself.
                if self.cut_next.is_set() and request.startswith(b"Q") and b"execute " in request:
                    self.cut_next.clear()
                    committing.set()
                server.sendall(request)

    def _forward_responses(self, server: socket.socket, client: socket.socket, committing: threading.Event) -> None:
        while response := self._receive(server):
            if committing.is_set():
                self.cuts += 1
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(response)

    @staticmethod
    def _receive(end: socket.socket) -> bytes:
        try:
            return end.recv(65536)
        except OSError:
            return b""


@pytest.fixture
def proxy(tmp_path: Path, database_urls: Any, clean: None) -> Iterator[DisconnectingProxy]:
    stop_engine()
    dsn_parameters = parse_dsn(database_urls.service)
    new_proxy = DisconnectingProxy(tmp_path, f"{dsn_parameters['host']}/.s.PGSQL.{dsn_parameters.get('port', '5432')}")
    database.open_pool(make_dsn(**{**dsn_parameters, "host": str(tmp_path), "port": "5432"}), "beckon_service", 8)
    broker.set_up(settings.load())
    yield new_proxy
    database.db.close_all()
    new_proxy.close()


@pytest.fixture
def group_commit(proxy: DisconnectingProxy) -> Iterator[GroupCommit]:
    new_group_commit = GroupCommit("a worker on a bad line", lease_seconds=30.0)
    yield new_group_commit
    new_group_commit.close()


@pytest.fixture
def claimed(group_commit: GroupCommit) -> ClaimedExecution:
    alice = Alice()
    alice.automation(HELLO)
    accepted = alice.trigger()
    row = claim(group_commit, accepted.executions[0]["executionId"])
    assert row is not None
    document = queries.fetch_value("select definition from workflow_versions")
    return ClaimedExecution(row, parse(document))


def test_a_record_whose_response_was_lost_is_recognized_and_counted_once(
    proxy: DisconnectingProxy, group_commit: GroupCommit, claimed: ClaimedExecution
) -> None:
    with database.connection():
        moves.enter(claimed, "eligible")
        moves.finish(claimed, "succeeded", "completed")
        proxy.cut_next.set()

        assert group_commit.record(claimed.take_record()) is True

        assert proxy.cuts == 1
        assert execution(claimed.execution_id)["status"] == "succeeded"
        assert counters(claimed.row["workspace_id"], claimed.row["automation_id"])["succeeded"] == 1
        assert queries.fetch_value("select count(*) from stage_history where stage = 'completed'") == 1


def test_a_worker_keeps_its_lease_after_a_record_whose_response_was_lost(
    proxy: DisconnectingProxy, group_commit: GroupCommit, claimed: ClaimedExecution
) -> None:
    moves.enter(claimed, "eligible")
    proxy.cut_next.set()
    assert group_commit.record(claimed.take_record()) is True
    claimed.mark_recorded()

    moves.finish(claimed, "succeeded", "completed")

    assert group_commit.record(claimed.take_record()) is True


def test_a_claim_whose_response_was_lost_is_not_returned_twice(
    proxy: DisconnectingProxy, group_commit: GroupCommit
) -> None:
    with database.connection():
        alice = Alice()
        alice.automation(HELLO)
        first, second = (alice.trigger().executions[0]["executionId"] for _ in range(2))
        assert claim(group_commit, first) is not None
        proxy.cut_next.set()

        assert claim(group_commit, second) is None

        assert (execution(second)["status"], execution(second)["deliveries"]) == ("running", 1)


def test_recipients_of_one_address_are_kept_by_the_statement_of_the_record(
    group_commit: GroupCommit, claimed: ClaimedExecution, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = Mock(wraps=database.db.begin)
    monkeypatch.setattr(database.db, "begin", begins)
    moves.enter(claimed, "eligible")
    for _ in range(2):
        claimed.add_recipient(b"hash", "bob@example.com")

    assert group_commit.record(claimed.take_record()) is True

    assert not begins.called, "a single statement is its own transaction"
    with database.connection():
        stored = queries.fetch_value("select array[encode(address_hash, 'escape'), address] from email_recipients")
    assert stored == ["hash", "bob@example.com"]


#: Bounds that no partition is beyond.
ALL_IDS = "'00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'"


@pytest.mark.parametrize(
    "statement",
    [
        f"claim_executions('{{}}'::uuid[], 'worker', 30, '{{}}'::uuid[], {ALL_IDS})",
        f"record_progress('[]', '[]', '[]', '[]', '{{}}'::uuid[], {ALL_IDS}, '[]')",
        f"record_and_count('[]', '[]', '[]', '[]', '{{}}'::uuid[], {ALL_IDS}, '[]', true)",
    ],
)
def test_claim_and_record_find_executions_by_id_at_any_table_size(
    database_urls: Any, clean: None, statement: str
) -> None:
    with closing(psycopg2.connect(database_urls.owner)) as connection, connection.cursor() as cursor:
        # As when the worker started while nearly every execution was finished: its plans are kept.
        cursor.execute("set session_replication_role = replica")
        cursor.execute(INSERT_FINISHED_EXECUTIONS)
        cursor.execute("analyze executions")
        for prepare in (SET_PLANNER, CLAIM.prepare_sql, RECORD.prepare_sql, RECORD_AND_COUNT.prepare_sql):
            cursor.execute(prepare)

        cursor.execute(f"explain (format json) execute {statement}")
        scans = [
            plan
            for plan in iter_plans(cursor.fetchone()[0][0]["Plan"])
            if plan.get("Relation Name", "").startswith("executions")
        ]

        conditions = [
            str(plan.get("Index Cond", plan.get("Recheck Cond"))) for plan in scans if "Scan" in plan["Node Type"]
        ]
        assert conditions
        assert all(re.match(r"\(+id = ", condition) for condition in conditions)


INSERT_FINISHED_EXECUTIONS = """
insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, status, stage, stage_since,
    queue, rung_at, created_at, finished_at)
select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'succeeded',
    'completed', now(), 'sending', now(), now(), now() from generate_series(1, 400)
"""


def iter_plans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from iter_plans(child)
