"""PostgreSQL itself isolates tenants: what the dashboard's role may read and write, table by table.

Every table with a workspace has a row of Alice's and one of Charlie's here. A new table without one fails the first
test.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import peewee
import psycopg2
import pytest
from psycopg2.extras import Json

import settings
from models import database
from models.database import acting_as, transaction
from models.queries import execute, fetch_value
from tests.support import servers as real
from tests.support.rows import fetch_rows
from tests.support.webhooks import consume_token

ALICES, CHARLIES = (str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in ("alice", "charlie"))

#: Privileges that the dashboard's role lacks, because no request needs them.
RUN_TABLES = {
    "automation_runs", "run_windows", "lateness_samples", "tracking_intake", "tracked_execution_ids",
    "workflow_executions", "analytics_events", "analytics_tallies",
}  # fmt: skip
#: Appended by the triggers of other tables.
APPENDED_TABLES = {"analytics_changes", "message_responses"}
#: Written with their messages by workers, and by clicks.
LINK_TABLES = {"message_links"}
MAY_NOT_UPDATE = (
    {"api_keys", "audit", "sessions", "users", "inbound_events", "invitations"}
    | RUN_TABLES
    | APPENDED_TABLES
    | LINK_TABLES
    | {"address_keys"}
)
MAY_NOT_DELETE = (
    {"address_keys", "audit", "workspaces", "users", "inbound_events"} | RUN_TABLES | APPENDED_TABLES | LINK_TABLES
)
MAY_NOT_INSERT = {"workspaces", "users", "sessions"} | RUN_TABLES | LINK_TABLES
#: Callbacks are stored before their workspace is known, and the dashboard never reads them.
INSERT_ONLY = {"inbound_events"}


def _build_rows(workspace_id: str) -> dict[str, dict[str, Any]]:
    """Build one row for each table, in the order of their references."""

    def build_id(name: str) -> str:
        return str(uuid.uuid5(uuid.UUID(workspace_id), name))

    workspace, now = {"workspace_id": workspace_id}, "2026-11-20T12:00:00Z"
    execution = {"execution_id": build_id("executions"), **workspace}
    references = {"automation_id": build_id("automations"), "contact_id": build_id("contacts"), **workspace}
    version = {"automation_id": build_id("automations"), "version": 1, **workspace}
    tally = {"automation_id": build_id("automations"), "at": now, "subject": "executions", "dimension": "trigger",
             "tracked": False, "value": "", "status": "succeeded", "bucket": 1, "count": 1, **workspace}  # fmt: skip
    return {
        "workspaces": {"id": workspace_id, "slug": workspace_id, "name": "A shop"},
        "users": {"id": build_id("users"), "email": f"{workspace_id}@example.com", "password_hash": "none"},
        "memberships": {"user_id": build_id("users"), "role": "owner", **workspace},
        "invitations": {"id": build_id("i"), "email": "bob@example.com", "role": "viewer",
                        "shown_hash": build_id("i").encode(), "mailed_hash": build_id("m").encode(),
                        "actor_kind": "system", "actor_name": "Beckon",
                        "expires_at": now, **workspace},
        "sessions": {"token_hash": build_id("s").encode(), "user_id": build_id("users"), "expires_at": now,
                     **workspace},
        "api_keys": {"id": build_id("k"), "name": "key", "prefix": "bk", "secret_hash": build_id("k").encode(),
                     "scopes": ["read"], **workspace},
        "site_keys": {"id": build_id("p"), "name": "key", "key": build_id("p"), "origins": ["https://example.com"],
                      **workspace},
        "audit": {"id": build_id("audit"), "actor_kind": "system", "actor_name": "Beckon", "action": "made",
                  "object_kind": "workspace", "object_id": workspace_id, **workspace},
        "email_recipients": {"address_hash": build_id("h").encode(), "address": "bob@example.com", **workspace},
        "contacts": {"id": build_id("contacts"), "email": "bob@example.com", **workspace},
        "accounts": {"id": build_id("account"), "channel": "instagram", "external_id": build_id("account"),
                     **workspace},
        "conversations": {"contact_id": build_id("contacts"), "channel": "sms", "last_received_at": now, **workspace},
        "private_replies": {"channel": "instagram", "comment_id": build_id("comment"), "message_key": "k", **workspace},
        "received_messages": {"id": build_id("received"), "contact_id": build_id("contacts"), "channel": "sms",
                              "provider_message_id": "in-1", "kind": "message", "at": now, **workspace},
        "cap_reservations": {"round": 0, "contact_id": build_id("contacts"), **execution},
        "model_settings": {"provider": "gemini", **workspace},
        "channel_credentials": {"name": "MAILGUN_API_KEY", "value": "encrypted", **workspace},
        "suppressions": {"contact_id": build_id("contacts"), "channel": "email", "reason": "bounced", **workspace},
        "suppressed_addresses": {"id": build_id("suppressed"), "channel": "email", "address": "bob@example.com",
                                 "reason": "bounced", **workspace},
        "suppressed_topics": {"id": build_id("topic"), "address_hash": build_id("h").encode(), "topic": "News",
                              "reason": "unsubscribed", **workspace},
        "possible_opt_outs": {"id": build_id("opt-out"), "contact_id": build_id("contacts"), "channel": "sms",
                              **workspace},
        "help_replies": {"id": build_id("help"), "to_address": "+15550100", "body": "Help", **workspace},
        "address_keys": {"value": "encrypted", **workspace},
        "contact_tasks": {"id": build_id("task"), "step_id": "call", "title": "Call", **execution},
        "test_runs": {"id": build_id("test run"), "started_by": "Alice", **workspace},
        "automations": {"id": build_id("automations"), "name": "Welcome", "type": "workflow", **workspace},
        "workflow_versions": {"id": build_id("version"), "definition": Json({}), "published_by": "Alice", **version},
        "automation_schedules": {"automation_id": build_id("automations"), "next_at": now, **workspace},
        "pauses": {"id": build_id("pause"), "kind": "queue", "name": "sending", "reason": "operator", **workspace},
        "provider_breakers": {"provider": "mailgun", "timeouts": 1, **workspace},
        "look_up_refusals": {
            "provider": "mailgun", "message": "Forbidden", "credentials_fingerprint": "", **workspace,
        },
        "triggers": {"id": build_id("triggers"), "type": "contact.created", "source": "api", "answer": Json({}),
                     **workspace},
        "idempotency_keys": {"key": "once", "body_hash": b"0", "trigger_id": build_id("triggers"), **workspace},
        "executions": {"id": build_id("executions"), "version_id": build_id("version"),
                       "trigger_id": build_id("triggers"), "stage_since": now, "queue": "sending", "rung_at": now,
                       "due_at": now, "created_at": now, **version},
        "steps": {"step_id": "hello", "action": "send_email", "status": "pending", **execution},
        "stage_history": {"automation_id": build_id("automations"), "test": False, "from_stage": "queued", "from_ms": 1,
                          "stage": "checking", "entered_at": now, **execution},
        "stage_tallies": {"automation_id": build_id("automations"), "at": now, "test": False, "from_stage": "queued",
                          "stage": "checking", "rule": "", "moves": 1, "from_ms": 1, "first_sent": 0, **workspace},
        "lateness_samples": {"at": now, "oldest_seconds": 300, "late": 2, **workspace},
        "messages": {"id": build_id("message"), "step_id": "hello", "key": build_id("message"), "channel": "email",
                     "provider": "mailgun", "sandbox": True, "test": False, "to_address": "bob@example.com",
                     "body": "Hi", "status": "sent", "created_at": now, "updated_at": now, **execution, **references},
        "automation_runs": {"id": build_id("run"), "kind": "main_dm", "at": now, **execution, **references},
        "run_windows": {"counted_at": now, **references},
        "limit_counts": {"day": "2026-11-20", "count": 1, **references},
        "limit_reservations": {"round": 0, "day": "2026-11-20", **execution, **references},
        "tracking_intake": {"id": build_id("intake"), "execution_id": "exec-1", "body": Json({}), **workspace},
        "tracked_execution_ids": {"id": build_id("tracked"), "execution_id": "exec-1", **workspace},
        "workflow_executions": {"id": build_id("tracked"), "workflow_id": build_id("automations"), "status": "success",
                                **workspace},
        "analytics_events": {"id": build_id("action"), "workflow_id": build_id("automations"), "event_type": "action",
                             **workspace},
        "inbound_events": {"id": build_id("event"), "provider": "mailgun", "event_id": build_id("event"),
                           "body": Json({}), **workspace},
        "operations": {"id": build_id("operation"), "kind": "retry", "filters": Json({}), "status": "finished",
                       "matched": 1, "actor_name": "Alice", **workspace},
        "operation_executions": {"operation_id": build_id("operation"), "execution_id": build_id("execution"),
                                 **workspace},
        "contact_import_batches": {"operation_id": build_id("operation"), "position": 0, **workspace},
        "message_links": {"token": build_id("link"), "message_id": build_id("message"), "position": 1,
                          "url": "https://shop.example", **workspace},
        "message_responses": {"message_id": build_id("message"), "kind": "replied", **workspace},
        "analytics_changes": tally,
        "analytics_tallies": {"span": "day", **tally},
    }  # fmt: skip


TABLES = sorted(_build_rows(ALICES))
#: The column with the workspace's id; users belong to one through their membership.
WORKSPACE = {"workspaces": "id", "users": "id"}


def _build_insert(table: str, row: dict[str, Any]) -> tuple[str, list[Any]]:
    placeholders = ", ".join(["%s"] * len(row))
    return f"insert into {table} ({', '.join(row)}) values ({placeholders})", list(row.values())


def _find_workspace_id(workspace_id: str, table: str) -> str:
    return str(_build_rows(workspace_id)[table][WORKSPACE.get(table, "workspace_id")])


def _format_condition(table: str) -> str:
    return f"{WORKSPACE.get(table, 'workspace_id')} = %s"


@pytest.fixture(scope="module")
def seeded_url(database_urls: Any) -> Iterator[str]:
    """The owner's URL of a database with a row of Alice's and one of Charlie's in every table."""
    real.run_sql(database_urls.owner, real.EMPTY_EVERY_TABLE)
    with closing(psycopg2.connect(database_urls.owner)) as connection, connection.cursor() as cursor:
        for workspace_id in (ALICES, CHARLIES):
            for table, row in _build_rows(workspace_id).items():
                if table == "analytics_changes":
                    # The triggers of the other tables have appended theirs.
                    cursor.execute("delete from analytics_changes where workspace_id = %s", (workspace_id,))
                cursor.execute(*_build_insert(table, row))
        connection.commit()
    yield database_urls.owner
    real.run_sql(database_urls.owner, real.EMPTY_EVERY_TABLE)


@pytest.fixture
def as_dashboard(seeded_url: str) -> Iterator[None]:
    """Connect the process under row security."""
    database.open_pool(settings.load().database_app_url, "beckon_app", 2)
    yield
    database.db.close_all()


@pytest.fixture
def as_service(seeded_url: str) -> Iterator[None]:
    """Connect the process as the workers do."""
    database.open_pool(settings.load().database_service_url, "beckon_service", 2)
    yield
    database.db.close_all()


@pytest.fixture
def as_owner(seeded_url: str) -> Iterator[None]:
    """Connect the process as the migrations do."""
    database.open_pool(seeded_url, None, 2)
    yield
    database.db.close_all()


def test_every_tenant_table_is_tested_here(as_owner):
    with transaction():
        tables = fetch_rows(
            "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace_id' "
            "where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition"
        )
    assert {row["relname"] for row in tables} | {"workspaces", "users"} == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_a_tenant_table_has_a_policy_for_both_roles_and_is_owned_by_neither(as_owner, table):
    with transaction():
        secured = fetch_value(
            "select relrowsecurity and relforcerowsecurity from pg_class where oid = %s::regclass", (table,)
        )
        owner = fetch_value("select tableowner from pg_tables where schemaname = 'public' and tablename = %s", (table,))
        policies = fetch_rows("select unnest(roles) as role from pg_policies where tablename = %s", (table,))
    assert secured, f"alter table {table} enable row level security, force row level security"
    assert owner not in ("beckon_app", "beckon_service")
    assert {policy["role"] for policy in policies} == {"beckon_app", "beckon_service"}


def test_the_two_roles_can_neither_bypass_row_security_nor_create_tables(as_owner):
    with transaction():
        roles = fetch_rows(
            "select rolname, rolsuper, rolbypassrls, has_schema_privilege(rolname, 'public', 'create') as may_create "
            "from pg_roles where rolname in ('beckon_app', 'beckon_service') order by rolname"
        )
    assert [tuple(role.values()) for role in roles] == [
        ("beckon_app", False, False, False),
        ("beckon_service", False, False, False),
    ]


@pytest.mark.parametrize("table", sorted(set(TABLES) - INSERT_ONLY))
def test_a_query_without_a_workspace_sees_nothing(as_dashboard, table):
    with transaction():
        assert fetch_value(f"select count(*) from {table}") == 0


@pytest.mark.parametrize("table", sorted(set(TABLES) - INSERT_ONLY))
def test_charlie_sees_her_own_row_and_nothing_of_alice_s(as_dashboard, table):
    with acting_as(CHARLIES):
        assert (
            fetch_value(
                f"select count(*) from {table} where {_format_condition(table)}", (_find_workspace_id(ALICES, table),)
            )
            == 0
        )
        assert fetch_value(f"select count(*) from {table}") == 1


@pytest.mark.parametrize("table", TABLES)
def test_a_worker_sees_every_workspace(as_service, table):
    with transaction():
        assert fetch_value(f"select count(*) from {table}") == 2


@pytest.mark.parametrize("table", sorted(set(TABLES) - MAY_NOT_UPDATE))
def test_charlie_cannot_change_alice_s_row(as_dashboard, table):
    column = WORKSPACE.get(table, "workspace_id")
    with acting_as(CHARLIES):
        assert (
            execute(
                f"update {table} set {column} = {column} where {_format_condition(table)}",
                (_find_workspace_id(ALICES, table),),
            )
            == 0
        )
        assert execute(f"update {table} set {column} = {column}") == 1


@pytest.mark.parametrize("table", sorted(set(TABLES) - MAY_NOT_DELETE))
def test_charlie_cannot_delete_alice_s_row(as_dashboard, table):
    with acting_as(CHARLIES):
        assert (
            execute(f"delete from {table} where {_format_condition(table)}", (_find_workspace_id(ALICES, table),)) == 0
        )


@pytest.mark.parametrize("table", sorted(set(TABLES) - MAY_NOT_UPDATE))
def test_charlie_cannot_move_her_row_into_alice_s_workspace(as_dashboard, table):
    column = WORKSPACE.get(table, "workspace_id")
    with pytest.raises(peewee.ProgrammingError, match="row-level security"), acting_as(CHARLIES):
        execute(f"update {table} set {column} = %s", (ALICES,))


@pytest.mark.parametrize("table", sorted(set(TABLES) - MAY_NOT_INSERT - INSERT_ONLY))
def test_charlie_cannot_write_a_row_into_alice_s_workspace(as_dashboard, table):
    with pytest.raises(peewee.ProgrammingError, match="row-level security"), acting_as(CHARLIES):
        execute(*_build_insert(table, _build_rows(ALICES)[table]))


@pytest.mark.parametrize(
    "statement",
    [
        *(f"update {table} set {WORKSPACE.get(table, 'workspace_id')} = null" for table in sorted(MAY_NOT_UPDATE)),
        *(f"delete from {table}" for table in sorted(MAY_NOT_DELETE)),
        *(f"insert into {table} default values" for table in sorted(MAY_NOT_INSERT)),
        *(f"select * from {table}" for table in sorted(INSERT_ONLY)),
        "select create_partition('stage_history', 'stage_history_1900_01', '1900-01-01', '1900-02-01')",
        "select drop_partition('stage_history', 'stage_history_1900_01')",
        "call transfer_function_ownership()",
        "call secure_partition('contacts')",
        "select * from stage_history_default",
        "select * from automation_runs_default",
        "update webhook_tokens set door = 'another'",
        "delete from webhook_tokens",
        "select * from schema_hashes",
        "select * from password_resets",
        "update invitations set deployment_owner = true",
        "insert into invitations (deployment_owner) values (true)",
        "update api_keys set deployment_owner = true",
        "insert into api_keys (deployment_owner) values (true)",
        "update api_keys set scopes = array['admin']",
        "update users set deployment_owner = true",
        "select * from schema_migrations",
        "truncate executions",
    ],
)
def test_the_dashboard_has_no_unneeded_privileges(as_dashboard, statement):
    with pytest.raises(peewee.ProgrammingError, match="permission denied"), acting_as(CHARLIES):
        execute(statement)


def test_security_definer_functions_fix_their_search_path_and_are_not_public(as_owner):
    with transaction():
        functions = fetch_rows(
            "select proname, proconfig, has_function_privilege('public', oid, 'execute') as for_everybody "
            "from pg_proc where pronamespace = 'public'::regnamespace and prosecdef"
        )
    assert len(functions) > 5
    assert not [row["proname"] for row in functions if row["for_everybody"]]
    assert not [
        row["proname"] for row in functions if not any(f.startswith("search_path=") for f in row["proconfig"] or ())
    ]


def test_security_definer_functions_that_read_rows_belong_to_the_service(as_owner):
    """Row security is forced, so with the tables' owner they would find nothing."""
    with transaction():
        functions = fetch_rows(
            "select proname from pg_proc where pronamespace = 'public'::regnamespace and prosecdef "
            "and proowner <> 'beckon_service'::regrole order by 1"
        )
    remedy = "end the migration with `call transfer_function_ownership()`"
    owned = ["analyze_contacts", "analyze_executions", "create_partition", "drop_partition"]
    assert [row["proname"] for row in functions] == owned, remedy


def test_a_partition_is_secured_like_its_table(as_owner):
    with transaction():
        partitions = fetch_rows(
            "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid "
            "join pg_class p on p.oid = i.inhparent "
            "where p.relkind = 'p' and p.relrowsecurity and not (c.relrowsecurity and c.relforcerowsecurity "
            "and exists (select from pg_policy where polrelid = c.oid))"
        )
    assert [row["relname"] for row in partitions] == [], (
        "make partitions with create_partition, or call secure_partition"
    )


def test_the_workspace_ends_with_the_transaction_that_acted_as_it(as_dashboard):
    with acting_as(CHARLIES):
        assert fetch_value("select count(*) from contacts") == 1
    with transaction():
        assert fetch_value("select count(*) from contacts") == 0


def test_a_pooled_connection_forgets_the_workspace_of_a_request_that_failed(as_dashboard):
    with pytest.raises(ZeroDivisionError), acting_as(CHARLIES):
        raise ZeroDivisionError
    with transaction():
        assert fetch_value("select acting_workspace()") is None


def test_a_webhook_token_has_no_workspace_and_is_unique_in_all(as_dashboard):
    assert consume_token("a token", "mailgun/", b"body") == "stored"
    assert consume_token("a token", "mailgun/", b"body") == "repeated"
    assert consume_token("a token", "mailgun/", b"other") == "refused"
