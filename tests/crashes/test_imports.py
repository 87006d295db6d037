"""An import whose worker is killed continues where it was: each row becomes one contact, with an exact result."""

from __future__ import annotations

import pytest

from models import operation
from models.audit import SYSTEM
from models.queries import execute, fetch_value
from rules.contact_file import parse_contact_file
from tasks.operators import contact_import
from tests.support.factories import Alice
from tests.support.programs import Programs
from tests.support.waiting import eventually

#: As many as a worker imports in some batches, so that it is killed between two of them.
ROWS = 20_000


@pytest.mark.slow
def test_an_import_survives_the_death_of_its_worker(programs: Programs) -> None:
    alice = Alice()
    # Rows without an address: a batch that was written twice would create them twice.
    text = "firstName,tags\n" + "".join(f"Ada {number},lead\n" for number in range(ROWS))
    row = contact_import.start(alice.workspace_id, parse_contact_file(text, {}), SYSTEM)
    assert (row["matched"], row["done"], row["status"]) == (ROWS, 0, "running")
    worker = programs.start("worker", "--queues", "tracking")

    eventually(lambda: _read_done(row["id"]) >= 1_000, timeout=60)
    worker.kill()
    worker.wait()
    interrupted = _read_done(row["id"])
    assert 0 < interrupted < ROWS
    assert _count_contacts() == interrupted

    execute("update operations set progressed_at = progressed_at - interval '1 minute'")
    programs.start("scheduler")
    programs.start("worker", "--queues", "tracking")
    result = eventually(lambda: (r := operation.get(alice.workspace_id, row["id"]))["status"] == "finished" and r,
                        timeout=60)  # fmt: skip

    assert (result["done"], result["conflict_count"]) == (ROWS, 0)
    assert result["counts"] == {"created": ROWS, "updated": 0, "repeated": 0}
    assert _count_contacts() == ROWS
    assert fetch_value("select count(distinct first_name) from contacts") == ROWS
    assert fetch_value("select count(*) from audit where object_id = %s", (row["id"],)) == 1
    assert fetch_value("select count(*) from contact_import_batches") == 0


def _read_done(operation_id: str) -> int:
    return int(fetch_value("select done from operations where id = %s", (operation_id,)))


def _count_contacts() -> int:
    return int(fetch_value("select count(*) from contacts"))
