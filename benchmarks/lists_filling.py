"""Fills the tables of the lists with a month of work, by a few statements inside PostgreSQL, in slices.

There are twenty automations, the last of which rarely runs. Of a thousand executions 930 succeeded, 20 failed, 40 were
skipped and five cancelled; the newest are active. Names, tags and suppressions occur often, rarely, or once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg2

from models import database, workspace

AUTOMATIONS = 20
FIRST_NAMES = (
    "Ada Alan Barbara Cecilia Claude Dorothy Edsger Emmy Grace Hedy Ida John Katherine Leslie Mae Margaret Marie Mary "
    "Radia Sofia"
)
LAST_NAMES = (
    "Byron Turing Liskov Payne Shannon Vaughan Dijkstra Noether Hopper Lamarr Rhodes McCarthy Johnson Lamport Jemison "
    "Hamilton Curie Somerville Perlman Kovalevskaya"
)
#: Executions of one statement: their sort fits into memory.
_SLICE = 500_000
_TABLES = ("contacts", "suppressions", "executions", "stage_history", "steps", "messages", "received_messages")

#: An id as clients and workers create it: it begins with the time, so that ids increase with it.
_ID = """
create function pg_temp.id_at(at timestamptz, n bigint) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid $$;
"""
_CONTACTS = """
insert into contacts (id, workspace_id, external_id, first_name, last_name, username, email, phone, timezone, tags,
    attributes, created_at, updated_at)
select pg_temp.id_at(at, n), %(workspace)s, 'c-' || n,
    case when n %% 20000 = 7 then 'Zenobia' else (string_to_array(%(first)s, ' '))[1 + n %% 20] end,
    (string_to_array(%(last)s, ' '))[1 + n / 20 %% 20],
    'user' || n, 'person' || n || '@example.com', '+1555' || lpad(n::text, 7, '0'), 'Europe/Rome',
    array_remove(array[case when n %% 3 = 0 then 'lead' end, case when n %% 5 = 0 then 'customer' end,
        case when n %% 10000 = 1 then 'board' end], null),
    jsonb_build_object('plan', 'pro', 'score', n %% 100), at, at
from (select n, now() - interval '30 days' + n * (interval '30 days' / %(contacts)s) as at
      from generate_series(1, %(contacts)s) n) generated;
create temp table people as select row_number() over (order by id) as n, id from contacts;
create unique index on people (n);
insert into suppressions (workspace_id, contact_id, channel, reason)
select %(workspace)s, id, case when n %% 5000 = 0 then 'facebook' else 'email' end, 'bounced'
from people where n %% 100 = 0;
"""
_EXECUTIONS = """
insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, contact_id, test, status,
    stage, stage_since, queue, rung_at, due_at, waiting_for, lease_owner, lease_until, error_class, error_message,
    skipped_rule, created_at, started_at, finished_at, execution_time_ms)
select m.id, %(workspace)s, m.automation_id, m.automation_id, 1, m.id, p.id, m.number %% 2000 = 3, status,
    case status when 'pending' then 'queued' when 'running' then 'generating' when 'waiting' then 'sent'
        when 'succeeded' then 'completed' when 'failed' then 'failed' else 'skipped' end,
    at, 'generation', at, case when status in ('pending', 'waiting') then now() + interval '1 hour' end,
    case when status = 'waiting' then case when number %% 50 = 0 then 'review' else 'time' end end,
    case when status = 'running' then 'worker' end, case when status = 'running' then now() + interval '1 hour' end,
    case when status = 'failed' then case when number %% 20 = 0 then 'unknown_outcome'
        when number %% 7 = 0 then 'rate_limit' else 'timeout' end end,
    case when status = 'failed' then 'No answer within 10 s.' end,
    case when status in ('skipped', 'cancelled') then 'daily_limit' end,
    at, case when status <> 'pending' then at end,
    case when status not in ('pending', 'running', 'waiting') then at + interval '3 seconds' end, 3000
from (select number, at, pg_temp.id_at(at, number) as id,
        (%(automations)s::uuid[])[case when number %% 10000 = 9 then 20 else 1 + number * 7 %% 19 end] as automation_id,
        case when number > %(executions)s - 40 then 'running' when number > %(executions)s - 2000 then 'pending'
            when number > %(executions)s - 12000 and number %% 2 = 0 then 'waiting'
            when number %% 1000 < 20 then 'failed' when number %% 1000 < 60 then 'skipped'
            when number %% 1000 < 65 then 'cancelled' else 'succeeded' end as status
      from (select number, now() - interval '30 days' + number * (interval '30 days' / %(executions)s) as at
            from generate_series(%(first_number)s, %(last_number)s) number) generated) m
join people p on p.n = case when number %% 100 = 0 then 1000 + number / 100 %% 10 else 1 + number %% %(contacts)s end
order by number;
"""
#: Stage changes older than two days are left out, except one each: no query reads their partitions. Without
#: `with_history` those are left out too.
_MOVES = """
insert into stage_history (execution_id, workspace_id, automation_id, test, from_stage, from_ms, stage, entered_at)
select e.id, e.workspace_id, e.automation_id, e.test, m.from_stage, 400, m.stage,
    e.created_at + m.number * interval '400 milliseconds'
from executions e, (values (1, 'queued', 'checking'), (2, 'checking', 'generating'), (3, 'generating', 'ready_to_send'),
    (4, 'ready_to_send', 'sending'), (5, 'sending', 'sent'), (6, 'sent', 'completed')) m (number, from_stage, stage)
where e.status = 'succeeded' and (e.created_at > now() - interval '2 days' or m.stage = 'sent' and %(with_history)s)
order by e.id, m.number;
"""
_MESSAGES = """
insert into messages (id, workspace_id, execution_id, automation_id, contact_id, step_id, round, key, channel, provider,
    sandbox, test, to_address, subject, body, status, provider_message_id, sent_at, created_at, updated_at)
select pg_temp.id_at(e.created_at, r), e.workspace_id, e.id, e.automation_id, e.contact_id, 'hello', r,
    e.id || ':' || r, 'email', 'mailgun', false, e.test, 'ada@example.com', 'Hello',
    repeat('Good to have you with us. ', 6), 'delivered', e.id || ':' || r, e.created_at, e.created_at, e.created_at
from executions e, generate_series(0, 1) r
where e.status = 'succeeded' and (r = 0 or ('x' || right(e.id::text, 1))::bit(4)::int %% 2 = 0)
    and (e.created_at > now() - interval '2 days' or %(with_history)s);
insert into received_messages (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at)
select id, workspace_id, contact_id, 'facebook', id::text, 'message', 'What does it cost?', created_at
from executions where status = 'succeeded' and right(id::text, 1) in ('0', '1', '2', '3')
    and (created_at > now() - interval '2 days' or %(with_history)s);
"""
#: The month in which the filling begins; the migrations create those from now on.
_CREATE_MONTH = """
select create_partition(t, t || to_char(month at time zone 'UTC', '_YYYY_MM'), month, month + interval '1 month')
from unnest(array['executions', 'steps']) t, date_trunc('month', now() - interval '30 days', 'UTC') month
where to_regclass(t || to_char(month at time zone 'UTC', '_YYYY_MM')) is null
"""


@dataclass(frozen=True)
class Dataset:
    """The ids and words of the filled tables that the queries use."""

    workspace_id: str
    active_automation: str
    inactive_automation: str
    active_contact: str
    middle_execution: str
    middle_contact: str
    email: str
    provider_message_id: str
    common_word: str = "grace"
    rare_word: str = "zenobia"


def fill(url: str, executions: int, contacts: int | None = None, *, with_history: bool = True) -> Dataset:
    """Fill the tables of a migrated, empty database, with half as many contacts as executions by default. Without
    `with_history` only the last two days have messages and stage changes."""
    database.open_pool(url, "beckon_service", 2)
    workspace_id = workspace.create("lists", "Lists")
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(_CREATE_MONTH)
        indexes = _drop_indexes(cursor)
        cursor.execute(
            "set local synchronous_commit = off; set local maintenance_work_mem = '256MB'; set local work_mem = '256MB'"
        )
        # Keys are not checked for each row: they are right by construction.
        cursor.execute("set local session_replication_role = replica")
        cursor.execute(_ID)
        parameters = {
            "workspace": workspace_id, "executions": executions, "contacts": contacts or executions // 2,
            "automations": _create_automations(cursor, workspace_id), "first": FIRST_NAMES, "last": LAST_NAMES,
            "with_history": with_history,
        }  # fmt: skip
        cursor.execute(_CONTACTS, parameters)
        for first in range(1, executions + 1, _SLICE):
            numbers = {"first_number": first, "last_number": min(first + _SLICE - 1, executions)}
            cursor.execute(_EXECUTIONS, {**parameters, **numbers})
        for statement in (_MOVES, _MESSAGES):
            cursor.execute(statement, parameters)
        for definition in indexes:
            cursor.execute(definition)
        dataset = _describe_dataset(cursor, workspace_id)
    connection.autocommit = True
    with connection.cursor() as cursor:
        # Autovacuum does the same once a table has grown by a fifth.
        cursor.execute("vacuum analyze")
    connection.close()
    return dataset


def _drop_indexes(cursor: Any) -> list[str]:
    """Drop the indexes without a constraint. Returns their definitions, to build each at the end in one pass."""
    cursor.execute(
        "select i.indexrelid::regclass::text, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') "
        "from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = any(%s::regclass[]) "
        "and not c.relispartition and not exists (select from pg_constraint where conindid = i.indexrelid)",
        (list(_TABLES),),
    )
    rows = cursor.fetchall()
    for name, _ in rows:
        cursor.execute(f"drop index {name}")
    return [definition for _, definition in rows]


def _create_automations(cursor: Any, workspace_id: str) -> list[str]:
    cursor.execute(
        "insert into automations (id, workspace_id, name, type, version, trigger_type) select pg_temp.id_at(now(), n), "
        "%s, 'Automation ' || n, 'workflow', 1, 'contact.created' from generate_series(1, %s) n returning id",
        (workspace_id, AUTOMATIONS),
    )
    automation_ids = [automation_id for (automation_id,) in cursor.fetchall()]
    cursor.execute(
        "insert into workflow_versions (id, workspace_id, automation_id, version, definition, published_by) "
        "select id, workspace_id, id, 1, '{\"rules\": {}}', 'nobody' from automations"
    )
    return automation_ids


def _describe_dataset(cursor: Any, workspace_id: str) -> Dataset:
    def fetch_value(sql: str) -> str:
        cursor.execute(sql)
        return str(cursor.fetchone()[0])

    busiest = "select automation_id from executions group by 1 order by count(*)"
    return Dataset(
        workspace_id=workspace_id,
        active_automation=fetch_value(f"{busiest} desc limit 1"),
        inactive_automation=fetch_value(f"{busiest} limit 1"),
        active_contact=fetch_value("select contact_id from executions group by 1 order by count(*) desc limit 1"),
        middle_execution=fetch_value(
            "select id from executions where created_at > now() - interval '15 days' order by id limit 1"
        ),
        middle_contact=fetch_value("select id from people order by n limit 1 offset (select count(*) / 2 from people)"),
        email=fetch_value(
            "select email from contacts where id = (select contact_id from executions order by id desc limit 1)"
        ),
        provider_message_id=fetch_value("select provider_message_id from messages order by id desc limit 1"),
    )
