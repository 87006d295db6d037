"""Statistics cannot mislead PostgreSQL: a trigger, a claim and a sweep read a handful of rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import psycopg2
import pytest

import settings
from models import database, inbound_event
from models.engine.current_facts import fetch_current_facts
from models.engine.group_commit import GroupCommit, extend_leases
from models.inbound_event import Event, Token, build_request
from models.queries import fetch_value, fetch_values
from rules.definition import parse
from rules.trigger_requests import TriggerRequest
from tasks.intake.single_triggers import accept_single
from tasks.intake.triggers import AcceptedTrigger
from tasks.periodic_jobs import PERIODIC_JOBS
from tasks.runtime import broker, moves
from tasks.runtime.claimed_execution import ClaimedExecution
from tests.support import plans
from tests.support.factories import Alice
from tests.support.rows import fetch_row

#: Rows of each large table, and how many of one a scan may read.
FILLED_ROWS = 10_000
MOST_ROWS_READ = 50

_FILL = """
    insert into contacts (id, workspace_id, external_id, email, phone, instagram_id, facebook_id, first_name)
    select gen_random_uuid(), %(workspace)s, 'filled-' || n, 'filled-' || n || '@example.com', '+1555' || n,
        'ig-' || n, 'fb-' || n, 'Ada'
    from generate_series(%(first)s, %(rows)s) n;
    insert into idempotency_keys (workspace_id, key, body_hash, trigger_id)
    select %(workspace)s, 'filled-' || n, '\\x00', gen_random_uuid() from generate_series(%(first)s, %(rows)s) n;
    insert into triggers (id, workspace_id, type, source, answer)
    select gen_random_uuid(), %(workspace)s, 'contact.created', 'api', '{}' from generate_series(%(first)s, %(rows)s) n;
    insert into executions (
        id, workspace_id, automation_id, version_id, version, trigger_id, status, stage, stage_since, queue, rung_at,
        created_at, finished_at)
    select gen_random_uuid(), %(workspace)s, %(automation)s, gen_random_uuid(), 1, gen_random_uuid(), 'succeeded',
        'completed', beckon_now(), 'sending', beckon_now(), beckon_now(),
        beckon_now()
    from generate_series(%(first)s, %(rows)s) n;
    insert into inbound_events (id, provider, event_id, body, processed_at)
    select gen_random_uuid(), 'mailgun', 'filled-' || n, '{}', beckon_now() from generate_series(%(first)s, %(rows)s) n;
    insert into webhook_tokens (token_hash, door, body_hash)
    select sha256(('filled-' || n)::bytea), 'mailgun/', '' from generate_series(%(first)s, %(rows)s) n
"""
_EMPTY = """
    delete from contacts; delete from idempotency_keys; delete from triggers; delete from executions;
    delete from inbound_events; delete from webhook_tokens
"""
_FILL_OTHER = """
    insert into contacts (id, workspace_id, email)
    select gen_random_uuid(), %(workspace)s, 'filled-' || n || '@example.com' from generate_series(1, %(rows)s) n
"""
#: Contacts that match by each identifier, by none, and by all.
CONTACTS = (
    {"external_id": "filled-7"}, {"email": "filled-8@example.com"}, {"phone": "+15559"}, {"instagram_id": "ig-10"},
    {"facebook_id": "fb-11"}, {"email": "new@example.com"},
    {"external_id": "filled-12", "email": "filled-12@example.com", "phone": "+155512", "instagram_id": "ig-12",
     "facebook_id": "fb-12"},
)  # fmt: skip


@pytest.fixture
def alice(as_service: None, redis_url: str) -> Alice:
    """Alice, with an automation, before her tables are filled."""
    broker.set_up(settings.load())
    alice = Alice()
    alice.automation()
    return alice


def _run_as_owner(sql: str, parameters: dict[str, object] | None = None) -> None:
    with closing(psycopg2.connect(settings.load().database_url)) as owner, owner, owner.cursor() as cursor:
        cursor.execute(sql, parameters)


def _run_as_owner_outside_transactions(sql: str) -> None:
    with closing(psycopg2.connect(settings.load().database_url)) as owner, owner.cursor() as cursor:
        owner.autocommit = True
        cursor.execute(sql)


def _fill(alice: Alice, first: int = 1, rows: int = FILLED_ROWS) -> None:
    automation_id = fetch_row("select id from automations")["id"]
    numbers = {"first": first, "rows": rows}
    _run_as_owner(_FILL, {"workspace": alice.workspace_id, "automation": automation_id, **numbers})


def _leave_empty(alice: Alice) -> None:
    _fill(alice)
    plans.clear_statistics(settings.load().database_url)


def _leave_stale(alice: Alice) -> None:
    """Statistics of the first hundred rows."""
    _fill(alice, rows=100)
    plans.analyze(settings.load().database_url)
    _fill(alice, first=101)


def _leave_foreign(alice: Alice) -> None:
    """Statistics mostly of another workspace, whose contacts have no identifier but an e-mail address."""
    other = Alice(name="other")
    _run_as_owner(_FILL_OTHER, {"workspace": other.workspace_id, "rows": FILLED_ROWS})
    _fill(alice, rows=100)
    plans.analyze(settings.load().database_url)
    _fill(alice, first=101)


def _leave_right(alice: Alice) -> None:
    _fill(alice)
    plans.analyze(settings.load().database_url)


def _leave_emptied(alice: Alice) -> None:
    """Statistics of tables that were emptied while their pages remained: PostgreSQL believes that they stay empty."""
    _fill(alice)
    _run_as_owner(_EMPTY)
    plans.analyze(settings.load().database_url)
    _fill(alice)


STATISTICS = {
    "emptied": _leave_emptied,
    "empty": _leave_empty,
    "stale": _leave_stale,
    "foreign": _leave_foreign,
    "right": _leave_right,
}


def _open_pool(role: database.Role) -> None:
    database.db.close_all()
    config = settings.load()
    database.open_pool(config.database_app_url if role == "beckon_app" else config.database_service_url, role, 8)


def _store_webhook() -> None:
    """Store two events, of which one is stored already, as the webhooks' door does."""
    events = [Event(provider="mailgun", event_id=name, sandbox=False, body={}) for name in ("filled-7", "new")]
    request = build_request(events, None, Token("new", "mailgun/", b""))
    fetch_values(inbound_event.STORE, inbound_event.build_store_parameters([request], 50))


def _accept_alone(alice: Alice, fields: dict[str, str]) -> None:
    """Accept a trigger as a single request's, with its contact as key."""
    request = TriggerRequest("contact.created", None, fields, {}, idempotency_key=f"single {fields}", body_hash=b"x")
    assert isinstance(accept_single(alice.workspace_id, request, "api", 100), AcceptedTrigger)


def _claim_and_record() -> None:
    """Claim pending executions, extend their leases, read one's facts again, and finish it."""
    with database.connection():
        ids = fetch_values("select id from executions where status = 'pending'")
        definition = fetch_value("select definition from workflow_versions")
    group_commit = GroupCommit("a worker", lease_seconds=30.0)
    rows = group_commit.claim_many(ids[:3])
    assert group_commit.claim_in_turns("sending", 2)
    with database.transaction():
        extend_leases("a worker", [row["id"] for row in rows], 30.0)
    with database.connection():
        assert fetch_current_facts(rows[0]["id"], [])
    claimed = ClaimedExecution(rows[0], parse(definition))
    moves.enter(claimed, "eligible")
    moves.finish(claimed, "succeeded", "completed")
    assert group_commit.record(claimed.take_record())
    group_commit.close()


@pytest.mark.parametrize("prepare", STATISTICS.values(), ids=STATISTICS)
def test_hot_statements_read_a_handful_of_rows(alice: Alice, prepare: Callable[[Alice], None]) -> None:
    prepare(alice)
    _open_pool("beckon_app")
    with plans.recorded_scans() as accepting:
        for fields in (*CONTACTS, CONTACTS[0]):
            _accept_alone(alice, fields)
        alice.triggers([{"contact": fields, "idempotency_key": f"batch {fields}"} for fields in CONTACTS])
    storing = plans.count_rows_read(_store_webhook)
    _open_pool("beckon_service")
    with plans.recorded_scans() as working:
        _claim_and_record()
    with plans.recorded_scans() as sweeping:
        for job in PERIODIC_JOBS:
            if job.every_seconds <= 10:
                job.run_once(settings.load())

    assert {scan.relation for scan in accepting} >= {"contacts", "idempotency_keys"}
    assert not [str(scan) for scan in working if "owned" in scan.statement[:20] and scan.kind == "Seq Scan"]
    statements = {scan.statement.split("(")[0] for scan in working}
    assert statements >= {"execute claim_executions", "execute claim_in_turns", "execute record_progress"}
    assert "executions" in {scan.relation for scan in sweeping}
    assert {str(scan) for scan in (*accepting, *working, *sweeping) if scan.rows > MOST_ROWS_READ} == set()
    assert {table: rows for table, rows in storing.items() if rows > MOST_ROWS_READ} == {}


_FLOOD = """
    insert into executions (
        id, workspace_id, automation_id, version_id, version, trigger_id, status, stage, stage_since, queue, rung_at,
        due_at, created_at)
    select gen_random_uuid(), %(workspace)s, %(automation)s, gen_random_uuid(), 1, gen_random_uuid(), 'pending',
        'queued', beckon_now(), 'sending', beckon_now(), beckon_now(), beckon_now()
    from generate_series(1, %(rows)s) n
"""


@pytest.mark.parametrize(
    "prepare", [_leave_empty, *(pytest.param(STATISTICS[name], marks=pytest.mark.slow) for name in ("stale", "right"))]
)
def test_a_claim_in_turns_finds_the_workspaces_by_the_index_alone(
    alice: Alice, prepare: Callable[[Alice], None]
) -> None:
    automation_id = fetch_row("select id from automations")["id"]
    others = [Alice(name=f"other{number}").workspace_id for number in range(20)]
    prepare(alice)
    for workspace_id, rows in ((alice.workspace_id, FILLED_ROWS), *((other, 5) for other in others)):
        _run_as_owner(_FLOOD, {"workspace": workspace_id, "automation": automation_id, "rows": rows})
    # What the flood brought is in the visibility map and its statistics are not: autovacuum may be late.
    _run_as_owner_outside_transactions("vacuum executions")
    _open_pool("beckon_service")
    with plans.recorded_scans() as scans:
        group_commit = GroupCommit("a worker", lease_seconds=30.0)
        group_commit.claim_in_turns("sending", 16)
        group_commit.close()
    with database.connection():
        assert fetch_value("select count(*) from executions where status = 'running'") == 16

    # `executions_turns` has this name in the partitions.
    choosing = [scan for scan in scans if scan.index.endswith("queue_workspace_id_due_at_id_idx")]
    assert {scan.kind for scan in choosing} == {"Index Only Scan", "Index Scan"}
    assert {str(scan) for scan in scans if scan.rows > MOST_ROWS_READ} == set()


def test_plans_that_were_made_over_empty_tables_read_a_handful_of_rows(alice: Alice) -> None:
    _run_as_owner("analyze")
    database.db.close_all()
    database.open_pool(settings.load().database_app_url, "beckon_app", 1)
    _accept_alone(alice, CONTACTS[0])
    alice.trigger(contact=CONTACTS[0], idempotency_key="first")
    assert database.db.connection().prepared >= {"match_contacts", "find_key_uses_and_contacts"}
    with database.acting_as(alice.workspace_id):
        _fill(alice, first=8)
    with plans.recorded_scans() as scans:
        for fields in CONTACTS[1:]:
            _accept_alone(alice, fields)
            alice.trigger(contact=fields, idempotency_key=str(fields))

    statements = {scan.statement.split("(")[0] for scan in scans}
    assert statements >= {"execute match_contacts", "execute find_key_uses_and_contacts"}
    assert {str(scan) for scan in scans if scan.rows > MOST_ROWS_READ} == set()
