"""The ledger when PostgreSQL's answer is lost: what was committed is known to be, and is written once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

import settings
from cast import HELLO, Alice, counters, execution
from engine_ground import end_engine
from models import database
from models.ledger import Ledger
from models.ledger_sql import CLAIM, PLANNING, RECORD, RECORD_AND_COUNT
from rules.definition import parse
from tasks import broker
from tasks.passage import Passage


class CutsAfterCommit:
    """Stands between us and PostgreSQL; told so, it swallows the next record's or claim's answer and cuts the line."""

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
        threading.Thread(target=self._answers, args=(server, client, committing), daemon=True).start()
        with closing(client), closing(server):
            while asked := self._received(client):
                # Alone in its batch, a record or a claim commits itself.
                if self.cut_next.is_set() and asked.startswith(b"Q") and b"execute " in asked:
                    self.cut_next.clear()
                    committing.set()
                server.sendall(asked)

    def _answers(self, server: socket.socket, client: socket.socket, committing: threading.Event) -> None:
        while answer := self._received(server):
            if committing.is_set():
                self.cuts += 1
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(answer)

    @staticmethod
    def _received(end: socket.socket) -> bytes:
        try:
            return end.recv(65536)
        except OSError:
            return b""


@pytest.fixture
def line(tmp_path: Path, database_urls: Any, clean: None) -> Iterator[CutsAfterCommit]:
    end_engine()
    told = parse_dsn(database_urls.service)
    made = CutsAfterCommit(tmp_path, f"{told['host']}/.s.PGSQL.{told.get('port', '5432')}")
    database.open_pool(make_dsn(**{**told, "host": str(tmp_path), "port": "5432"}), "beckon_service", 8)
    broker.set_up(settings.load())
    yield made
    database.db.close_all()
    made.close()


@pytest.fixture
def ledger(line: CutsAfterCommit) -> Iterator[Ledger]:
    made = Ledger("a worker on a bad line", lease_seconds=30.0)
    yield made
    made.close()


@pytest.fixture
def claimed(ledger: Ledger) -> Passage:
    alice = Alice()
    alice.automation(HELLO)
    accepted = alice.trigger()
    row = ledger.claim(accepted.executions[0]["executionId"])
    assert row is not None
    document = database.value("select definition from workflow_versions")
    return Passage(row, parse(document), time.monotonic())


def test_a_record_whose_answer_was_lost_is_known_to_be_written_and_counted_once(
    line: CutsAfterCommit, ledger: Ledger, claimed: Passage
) -> None:
    with database.connection():
        claimed.enter("eligible")
        claimed.finish("succeeded", "completed")
        line.cut_next.set()

        assert ledger.record(claimed.progress()) is True

        assert line.cuts == 1
        assert execution(claimed.execution_id)["status"] == "succeeded"
        assert counters(claimed.row["workspace_id"], claimed.row["automation_id"])["succeeded"] == 1
        assert database.value("select count(*) from stage_history where stage = 'completed'") == 1


def test_a_worker_whose_record_was_written_unheard_still_holds_its_lease(
    line: CutsAfterCommit, ledger: Ledger, claimed: Passage
) -> None:
    claimed.enter("eligible")
    line.cut_next.set()
    assert ledger.record(claimed.progress()) is True
    claimed.recorded()

    claimed.finish("succeeded", "completed")

    assert ledger.record(claimed.progress()) is True


def test_a_claim_whose_answer_was_lost_is_not_given_twice(line: CutsAfterCommit, ledger: Ledger) -> None:
    with database.connection():
        alice = Alice()
        alice.automation(HELLO)
        first, second = (alice.trigger().executions[0]["executionId"] for _ in range(2))
        assert ledger.claim(first) is not None
        line.cut_next.set()

        assert ledger.claim(second) is None

        assert (execution(second)["status"], execution(second)["deliveries"]) == ("running", 1)


@pytest.mark.parametrize(
    "statement",
    [
        "claim_executions('{}'::uuid[], 'worker', 30, '{}'::uuid[])",
        "record_progress('[]', '[]', '[]', '[]', '{}'::uuid[])",
        "record_and_count('[]', '[]', '[]', '[]', '{}'::uuid[], true)",
    ],
)
def test_the_ledger_looks_executions_up_by_their_ids_however_many_there_are(
    database_urls: Any, clean: None, statement: str
) -> None:
    with closing(psycopg2.connect(database_urls.owner)) as connection, connection.cursor() as cursor:
        # As when the worker began while nearly everything was at rest: its plans are kept.
        cursor.execute("set session_replication_role = replica")
        cursor.execute(AT_REST)
        cursor.execute("analyze executions")
        for prepare in (PLANNING, CLAIM.prepare, RECORD.prepare, RECORD_AND_COUNT.prepare):
            cursor.execute(prepare)

        cursor.execute(f"explain (format json) execute {statement}")
        scans = [
            plan for plan in plans_in(cursor.fetchone()[0][0]["Plan"]) if plan.get("Relation Name") == "executions"
        ]

        looked_up = [
            str(plan.get("Index Cond", plan.get("Recheck Cond"))) for plan in scans if "Scan" in plan["Node Type"]
        ]
        assert looked_up
        assert all(condition.startswith("(id = ") for condition in looked_up)


AT_REST = """
insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, status, stage, stage_since,
    queue, rung_at, created_at, finished_at)
select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'succeeded',
    'completed', now(), 'sending', now(), now(), now() from generate_series(1, 400)
"""


def plans_in(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from plans_in(part)
