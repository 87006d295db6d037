"""A bulk action whose worker is killed continues where it was: each execution is moved once, with an exact result."""

from __future__ import annotations

import pytest

from models import operation
from models.audit import SYSTEM
from models.execution_filters import ExecutionFilters
from models.queries import execute, fetch_value
from tasks.operators import bulk
from tests.support.concurrency import assert_consistent
from tests.support.factories import HELLO, Alice
from tests.support.programs import Programs
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

#: As many as a worker moves in some batches, so that it is killed between two of them.
EXECUTIONS = 20_000

# By hand: as many triggers as that would take a minute.
_FAIL_MANY = """
    insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, status, stage,
        stage_since, queue, rung_at, error_class, error_message, created_at, started_at, finished_at, resume_stage,
        failed_step)
    select gen_random_uuid(), a.workspace_id, a.id, a.version_id, a.version, gen_random_uuid(), 'failed', 'failed',
        beckon_now(), 'sending', beckon_now(), 'network', 'No route.', beckon_now(), beckon_now(), beckon_now(),
        'sending', 'hello'
    from automations a, generate_series(1, %s) where a.id = %s
"""


@pytest.mark.slow
def test_a_bulk_action_survives_the_death_of_its_worker(programs: Programs) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    execute(_FAIL_MANY, (EXECUTIONS, automation_id))
    execute("update automations set failed = %s, executions = %s where id = %s",
            (EXECUTIONS, EXECUTIONS, automation_id))  # fmt: skip
    row = bulk.start(alice.workspace_id, "discard", ExecutionFilters(status="failed"), SYSTEM)
    assert (row["matched"], row["done"], row["status"]) == (EXECUTIONS, 0, "running")
    worker = programs.start("worker", "--queues", "tracking")

    eventually(lambda: _read_done(row["id"]) >= 1_000, timeout=60)
    worker.kill()
    worker.wait()
    interrupted = _read_done(row["id"])
    assert 0 < interrupted < EXECUTIONS
    assert interrupted + _count_left(row["id"]) == EXECUTIONS

    execute("update operations set progressed_at = progressed_at - interval '1 minute'")
    programs.start("scheduler")
    programs.start("worker", "--queues", "tracking")
    result = eventually(lambda: (r := operation.get(alice.workspace_id, row["id"]))["status"] == "finished" and r,
                        timeout=60)  # fmt: skip

    assert (result["done"], result["conflict_count"]) == (EXECUTIONS, 0)
    assert fetch_value("select count(*) from executions where skipped_rule = 'discarded'") == EXECUTIONS
    moves = "select execution_id from stage_history where stage = 'skipped' group by 1 having count(*) > 1"
    assert fetch_rows(moves) == []
    assert fetch_value("select cancelled from automations where id = %s", (automation_id,)) == EXECUTIONS
    assert fetch_value("select count(*) from audit where object_id = %s", (row["id"],)) == 1
    assert_consistent()


def _read_done(operation_id: str) -> int:
    return int(fetch_value("select done from operations where id = %s", (operation_id,)))


def _count_left(operation_id: str) -> int:
    return int(fetch_value("select count(*) from operation_executions where operation_id = %s", (operation_id,)))
