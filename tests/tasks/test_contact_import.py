"""Imports of contacts by a worker: moved on by the actor and the sweep, and forgotten after a week."""

from __future__ import annotations

import pytest
from dramatiq import Worker

from models import contact_import as stored_import
from models import erasure, operation
from models.audit import SYSTEM
from models.checks import retention
from models.operation import OperationRow
from models.queries import execute, fetch_value
from rules.contact_file import parse_contact_file
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import contact_import
from tasks.operators.contacts import erase_contact
from tasks.operators.operation_runner import run_operation
from tasks.runtime.engine import Engine
from tests.support.concurrency import run_concurrently
from tests.support.factories import Alice
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

ROWS = "email\n" + "".join(f"p{number}@example.com\n" for number in range(1_200)) + "bad\n"


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def start(alice: Alice, text: str = ROWS) -> OperationRow:
    return contact_import.start(alice.workspace_id, parse_contact_file(text, {}), SYSTEM)


def read(alice: Alice, row: OperationRow) -> OperationRow:
    current = operation.get(alice.workspace_id, row["id"])
    assert current is not None
    return current


def test_a_worker_imports_a_large_file(alice: Alice, idle: Worker) -> None:
    row = start(alice)
    assert fetch_value("select count(*) from contacts") == 0
    idle.resume()
    finished = eventually(lambda: (r := read(alice, row))["status"] == "finished" and r)
    assert (finished["matched"], finished["done"], finished["conflict_count"]) == (1_201, 1_200, 1)
    assert fetch_value("select count(*) from contacts") == 1_200


def test_an_import_whose_message_was_lost_is_continued(alice: Alice, idle: Worker, settings: Settings) -> None:
    row = start(alice)
    execute("update operations set progressed_at = progressed_at - interval '1 minute'")
    assert periodic_jobs.continue_operations(settings) == {"continued": 1}
    run_concurrently(3, lambda _: run_operation.fn(row["id"]))
    while read(alice, row)["status"] == "running":
        run_operation.fn(row["id"])
    assert read(alice, row)["counts"] == {"created": 1_200, "updated": 0, "repeated": 0}
    assert fetch_value("select count(*) from audit where object_id = %s", (row["id"],)) == 1


def test_a_file_without_a_valid_row_ends_at_once(alice: Alice, idle: Worker) -> None:
    row = start(alice, "email\n" + "bad\n" * 1_001)
    assert (row["status"], row["conflict_count"], len(row["conflicts"])) == ("finished", 1_001, 1_000)
    assert len(stored_import.list_rejected(alice.workspace_id, row["id"])) == 1_001
    assert fetch_value("select detail -> 'rejected' from audit where object_id = %s", (row["id"],)) == 1_001


def test_rejected_rows_are_forgotten_after_a_week(alice: Alice, idle: Worker) -> None:
    row = start(alice)
    run_operation.fn(row["id"])
    for days, rejected in ((6, 1), (2, 0)):
        execute("update operations set finished_at = finished_at - make_interval(days => %s)", (days,))
        retention.run_once()
        assert len(stored_import.list_rejected(alice.workspace_id, row["id"])) == rejected
    assert read(alice, row)["conflict_count"] == 1


def test_rejected_rows_of_an_erased_contact_are_erased(alice: Alice, idle: Worker) -> None:
    ada, _ = (
        alice.trigger(contact={"external_id": name, "email": f"{name}@example.com"}).contact_id
        for name in ("ada", "bada")
    )
    people = "".join(f"{number},p{number}@example.com\n" for number in range(1_000))
    imports = [start(alice, f"externalId,email\n{people}x,{name}@example.com\n") for name in ("ada", "bada")]
    for row in imports:
        run_operation.fn(row["id"])
    assert [len(read(alice, row)["conflicts"]) for row in imports] == [1, 1]

    erased = erasure.erase(alice.workspace_id, str(ada), SYSTEM, lambda _: 0).erased

    assert erased["imports"] == 1
    assert [len(read(alice, row)["conflicts"]) for row in imports] == [0, 1]
    assert [len(stored_import.list_rejected(alice.workspace_id, row["id"])) for row in imports] == [0, 1]


def test_waiting_rows_of_an_erased_contact_are_removed(alice: Alice, idle: Worker) -> None:
    ada = alice.trigger(contact={"external_id": 'a"da', "email": "ada@example.com"}).contact_id
    people = "".join(f"x{number},p{number}@example.com,\n" for number in range(1_000))
    named = 'b,Ada@Example.com,\n"a""da",new@example.com,\nc,bada@example.com,Ada\nd,d@example.com,ada@example.com\n'
    row = start(alice, f"externalId,email,firstName\n{people}{named}")

    erased = erase_contact(alice.workspace_id, str(ada), SYSTEM).erased
    while read(alice, row)["status"] == "running":
        run_operation.fn(row["id"])

    assert erased["waitingRows"] == 2
    finished = read(alice, row)
    assert (finished["matched"], finished["done"], finished["conflict_count"]) == (1_004, 1_002, 2)
    assert [(problem["line"], problem["message"]) for problem in finished["conflicts"]] == [
        (line, "The contact of this row was erased.") for line in (1_002, 1_003)
    ]
    emails = "select email from contacts where deleted_at is null and email not like 'p%%' order by 1"
    assert [row["email"] for row in fetch_rows(emails)] == ["bada@example.com", "d@example.com"]


def test_an_erasure_waits_for_the_batch_that_is_being_written(alice: Alice, idle: Worker) -> None:
    contacts = [alice.trigger(contact={"email": f"p{number}@example.com"}).contact_id for number in (0, 700, 1_100)]
    row = start(alice)

    def write_or_erase(index: int) -> None:
        if index == 0:
            while read(alice, row)["status"] == "running":
                run_operation.fn(row["id"])
        else:
            erase_contact(alice.workspace_id, str(contacts[index - 1]), SYSTEM)

    run_concurrently(4, write_or_erase)

    erased = "select 1 from contacts where email in ('p0@example.com', 'p700@example.com', 'p1100@example.com')"
    assert fetch_rows(erased) == []
    finished = read(alice, row)
    assert finished["done"] + finished["conflict_count"] == 1_201
