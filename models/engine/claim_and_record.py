"""The SQL statements that move executions, each for many at once: two claims and record.

Both are prepared and planned once per connection, because planning costs more than running them. The plan is made
while the tables may still be empty and is kept while they grow, so the planner settings force the indexes: a scan that
is cheap over ten rows would otherwise run over a million. Behind a pooler, where each transaction may get another
session, the same statements run unprepared.

**claim** takes leases, counts the delivery, raises the fence and returns everything that a worker needs, so no further
read is necessary. It skips rows that another process is claiming. It comes in two forms:

- *in turns*: of a queue's due executions, chosen fairly between the workspaces, whichever of them was notified;
- *by id*: of every requested execution that can be claimed: pending; waiting and due; or, if requested alone, running
  under an expired lease.

A claim in turns visits the workspaces in the order of their ids, from the one after the last it served, so each is
served before any is served twice. It takes at most ⌈count ÷ workspaces with due work⌉ of each, the longest due first.
It finds the workspaces by the index `executions_turns` alone, one descent for each of at most `count`, however long
their backlogs are; then it reads from the table only the rows that it takes.

**record** writes each record whose fence still matches, and raises the fence. The same record written a second time
(after the connection broke during its commit) changes nothing.

Executions and steps are partitioned by the executions' ids. A claim by id and a record get the lowest and the highest
id besides the array, so that the cached plan reads one or two partitions. A claim in turns looks for due executions in
all: one descent more for each partition, most of whose indexes of due executions are empty.

They are written by hand, because peewee builds an expression anew for each batch and cannot prepare it. Building one
over a single table takes 0.2 to 0.3 ms of processor time, where an execution takes 2 ms in all; planning only once took
a claim of two executions from 0.5 to 0.35 ms (docs/performance.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from models.engine.rows import ExecutionState, MessageRow, StageMove, StepRow, list_columns
from models.engine.runs import COUNT
from rules.scope import CONTACT

_ASSIGNMENT, _PLACEHOLDER = "{name} = {source}.{name}", "%(p{number})s::{type}"
_PREPARE, _EXECUTE = "prepare {name} ({types}) as {body}", "execute {name}({placeholders})"
_STATE, _STEP = list_columns(ExecutionState), list_columns(StepRow)
_MESSAGE, _STAGE = list_columns(MessageRow), list_columns(StageMove)


def _format_columns(types: dict[str, str]) -> str:
    return ", ".join(" ".join(column) for column in types.items())


def _format_names(types: dict[str, str], template: str = "{}") -> str:
    return ", ".join(map(template.format, types))


def _format_assignments(types: dict[str, str], keep: set[str], source: str) -> str:
    return ", ".join(_ASSIGNMENT.format(name=name, source=source) for name in types if name not in keep)


_PLANNER_SETTINGS = ("jit = off", "enable_seqscan = off", "enable_hashjoin = off", "enable_mergejoin = off")
#: Only for the connection of the group commit, if it is direct; runs before the first plan is made.
SET_PLANNER = "; set ".join(("set plan_cache_mode = force_generic_plan", *_PLANNER_SETTINGS))
#: The same for one transaction, before a statement that is not prepared.
_SET_PLANNER_LOCAL = "set local " + "; set local ".join(_PLANNER_SETTINGS)


@dataclass(frozen=True)
class Statement:
    """One statement with parameters `$1` and so on, of these types."""

    name: str
    types: tuple[str, ...]
    body: str

    @cached_property
    def prepare_sql(self) -> str:
        """The SQL that prepares the statement in a session."""
        return _PREPARE.format(name=self.name, types=", ".join(self.types), body=self.body)

    @cached_property
    def execute_sql(self) -> str:
        """The SQL that runs the statement once where it is prepared, for psycopg2, with `build_parameters`."""
        placeholders = ", ".join(self._format_placeholder(number) for number in range(1, len(self.types) + 1))
        return _EXECUTE.format(name=self.name, placeholders=placeholders)

    @cached_property
    def unprepared_sql(self) -> str:
        """The SQL that runs the statement once where nothing is prepared, for psycopg2, with `build_parameters`."""
        body = re.sub(r"[$]([0-9]+)", lambda match: self._format_placeholder(int(match[1])), self.body)
        return "; ".join((_SET_PLANNER_LOCAL, body))

    def _format_placeholder(self, number: int) -> str:
        return _PLACEHOLDER.format(number=number, type=self.types[number - 1])

    @staticmethod
    def build_parameters(values: Sequence[Any]) -> dict[str, Any]:
        """Return the values of `$1` and so on, by the names of the placeholders."""
        return {f"p{number}": value for number, value in enumerate(values, start=1)}


#: The contact fields of templates and rules; JSON of the whole row would cost more than the rest of the claim.
_CONTACT = ", ".join(map("'{0}', ct.{0}".format, CONTACT))

#: What the index `executions_turns` holds: due, and notified since. One expression, which no other index implies.
_IS_NOTIFIED = "case when e.status in ('pending', 'waiting') then e.rung_at >= e.due_at else false end"
#: After every id.
_LAST_ID = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"

_PARTS = {"is_notified": _IS_NOTIFIED, "last_id": _LAST_ID}
_IN_TURNS = """
with recursive turns as (
    -- First the workspaces after the one served last, then, with that one as their bound, those up to it.
    select $5 as workspace_id, {last_id} as bound, 0 as turn
    union all
    select n.workspace_id, n.bound, t.turn + 1 from turns t cross join lateral (
        (select e.workspace_id, t.bound from executions e
        where e.queue = $1 and e.workspace_id > t.workspace_id and e.workspace_id <= t.bound and {is_notified}
        order by e.workspace_id limit 1)
        union all
        (select e.workspace_id, $5 from executions e
        where t.bound = {last_id} and e.queue = $1 and e.workspace_id <= $5 and {is_notified}
        order by e.workspace_id limit 1)
        limit 1
    ) n where t.turn < $4
), shares as (
    select workspace_id, turn, ceil($4::numeric / count(*) over ())::integer as share from turns where turn > 0
), requested as materialized (
    select r.*, s.turn from shares s cross join lateral (
        select e.id, e.stage, e.stage_since, e.status, e.waiting_for from executions e
        where e.queue = $1 and e.workspace_id = s.workspace_id and {is_notified}
        order by e.due_at, e.id limit s.share for update skip locked
    ) r order by s.turn limit $4
)""".format_map(_PARTS)

#: With the lowest and the highest id, by which PostgreSQL finds the partitions: an array does not tell it.
_IS_REQUESTED = "e.id = any($1) and e.id >= $5 and e.id <= $6"
#: Without them: they would be known only once it runs, and make the planner read the ids anew for each execution.
_IS_IN_TURN = "e.id = any(array(select id from requested))"

_BY_ID = """
with requested as materialized (
    select e.id, e.stage, e.stage_since, e.status, e.waiting_for, 0 as turn
    from executions e
    -- A CASE, which no partial index can serve: otherwise the planner would scan everything in flight.
    where {is_requested} and case e.status
        when 'pending' then true
        when 'waiting' then e.due_at <= beckon_now()
        when 'running' then e.lease_until <= beckon_now() and e.id = any($4)
        else false end
    order by e.id
    for update skip locked
)""".format_map({"is_requested": _IS_REQUESTED})

_CLAIM = """
{requested}, claimed as (
    update executions e set
        status = 'running', due_at = null, lease_owner = $2, lease_until = beckon_now() + make_interval(secs => $3),
        fence = e.fence + 1, deliveries = e.deliveries + 1, started_at = coalesce(e.started_at, beckon_now()),
        stage = case
            when r.stage = 'queued' or (r.stage = 'eligible' and r.waiting_for = 'window') then 'checking'
            when r.stage = 'failed' then coalesce(e.resume_stage, 'checking')
            else r.stage end,
        stage_since = case
            -- After the stage before, whose time another process may have measured ahead of this clock.
            when r.stage in ('queued', 'failed') or (r.stage = 'eligible' and r.waiting_for = 'window')
                then greatest(beckon_now(), r.stage_since + interval '1 microsecond')
            else r.stage_since end,
        attempt = e.attempt + (r.stage = 'failed')::integer
    -- The ids twice: a planner that believes the table to be empty would join all of it with the requested ones.
    from requested r where {is_requested} and e.id = r.id
    returning e.*, r.stage as stage_before, r.stage_since as stage_before_since, r.status as status_before, r.turn
), history as (
    insert into stage_history (execution_id, workspace_id, automation_id, test, from_stage, from_ms, stage, entered_at)
    select c.id, c.workspace_id, c.automation_id, c.test, c.stage_before,
        greatest(0, extract(epoch from c.stage_since - c.stage_before_since) * 1000)::bigint, c.stage, c.stage_since
    from claimed c where c.stage <> c.stage_before
)
select c.*, beckon_now() as claimed_at,
    t.type as trigger_type, t.payload, t.loop_depth,
    a.name as automation_name, a.type as automation_type, a.enabled as automation_enabled,
    a.automatic_retries, a.deleted_at is not null as automation_deleted, a.paused_at is not null as automation_paused,
    w.timezone as workspace_timezone, w.demo,
    case when ct.id is not null and ct.deleted_at is null then jsonb_build_object({contact}) end as contact,
    (select jsonb_agg(to_jsonb(s)) from steps s where s.execution_id = c.id) as steps,
    (select jsonb_agg(to_jsonb(m)) from messages m where m.execution_id = c.id) as messages,
    (select array_agg(su.channel) from suppressed_channels(c.workspace_id, c.contact_id) su) as suppressed,
    (select jsonb_agg(jsonb_build_object('kind', p.kind, 'name', p.name, 'reason', p.reason, 'retry_at', p.retry_at,
            'draining', p.draining))
        from pauses p where p.workspace_id = c.workspace_id) as pauses,
    (select jsonb_agg(jsonb_build_object('provider', b.provider, 'opened_at', b.opened_at, 'probe_at', b.probe_at,
            'probed_by', b.probed_by))
        from provider_breakers b where b.workspace_id = c.workspace_id) as breakers
from claimed c
-- OFFSET 0 keeps each look-up apart: a planner that believes a table to be empty would read all of it, each time.
join lateral (select * from triggers where id = c.trigger_id offset 0) t on true
join lateral (select * from automations where id = c.automation_id offset 0) a on true
join lateral (select * from workspaces where id = c.workspace_id offset 0) w on true
left join lateral (select * from contacts where id = c.contact_id offset 0) ct on true
"""
CLAIM = Statement(
    "claim_executions",
    ("uuid[]", "text", "double precision", "uuid[]", "uuid", "uuid"),
    _CLAIM.format(requested=_BY_ID, is_requested=_IS_REQUESTED, contact=_CONTACT),
)
CLAIM_IN_TURNS = Statement(
    "claim_in_turns",
    ("text", "text", "double precision", "integer", "uuid"),
    _CLAIM.format(requested=_IN_TURNS, is_requested=_IS_IN_TURN, contact=_CONTACT),
)

_RECORD = """
with input as materialized (
    -- Record, claim and lease extension lock rows in the order of their ids, so that they cannot deadlock.
    select * from json_to_recordset($1)
        as x(id uuid, expected integer, run_id uuid, run_due_at timestamptz, {state_columns}) order by id
), moved as (
    update executions e set
        {state_assignments},
        -- If an operator stopped the follow-ups meanwhile, the wait for a reply ends: due later than rung_at below.
        due_at = case when i.waiting_for = 'follow_up' and e.follow_ups_stopped is not null
            then beckon_now() + interval '1 millisecond' else i.due_at end,
        fence = e.fence + 1,
        event_at = case when i.waiting_for = 'pause' then e.event_at end,
        lease_owner = case when i.status = 'running' then e.lease_owner end,
        lease_until = case when i.status = 'running' then e.lease_until end,
        rung_at = beckon_now(),
        run_due_at = coalesce(i.run_due_at, e.run_due_at),
        execution_time_ms = case when i.finished_at is not null
            then (extract(epoch from i.finished_at - e.started_at) * 1000)::bigint end
    from input i
    -- A lease means status 'running', by the table's constraint; a condition on the status itself would make the
    -- planner scan everything that runs.
    where e.id = any($5) and e.id >= $6 and e.id <= $7
        and e.id = i.id and e.fence = i.expected and e.lease_until is not null
    returning e.id, e.workspace_id, e.automation_id, e.contact_id, e.test, e.status, e.finished_at, e.run_kind,
        i.run_id
), history as (
    insert into stage_history (workspace_id, automation_id, test, {stage_names})
    select m.workspace_id, m.automation_id, m.test, {stage_values}
    from json_to_recordset($2) as x({stage_columns}) join moved m on m.id = x.execution_id
), stepped as (
    insert into steps (workspace_id, {step_names})
    select m.workspace_id, {step_values}
    from json_to_recordset($3) as x({step_columns}) join moved m on m.id = x.execution_id
    on conflict (execution_id, step_id, round) do update
        set {step_assignments}
), written as (
    insert into messages (workspace_id, {message_names})
    select m.workspace_id, {message_values}
    from json_to_recordset($4) as x({message_columns}) join moved m on m.id = x.execution_id
    on conflict (key) do update set {message_assignments}
), addressed as (
    -- One row for an address, in one order for every process.
    insert into email_recipients (workspace_id, address_hash, address)
    select distinct on (m.workspace_id, x.address_hash) m.workspace_id, decode(x.address_hash, 'hex'), x.address
    from json_to_recordset($8) as x(execution_id uuid, address_hash text, address text)
    join moved m on m.id = x.execution_id order by m.workspace_id, x.address_hash
    on conflict (workspace_id, address_hash) do update set address = excluded.address
    where email_recipients.address is null
), {count} counted as materialized (
    -- In one order for every process, so that two of them cannot deadlock.
    select increment_automation_metrics(o.automation_id, o.succeeded, o.failed, o.skipped, o.cancelled, o.at,
        o.runs, case when o.runs > 0 then beckon_now() end) from (
        select automation_id,
            (count(*) filter (where status = 'succeeded'))::integer as succeeded,
            (count(*) filter (where status = 'failed'))::integer as failed,
            (count(*) filter (where status = 'skipped'))::integer as skipped,
            (count(*) filter (where status = 'cancelled'))::integer as cancelled,
            max(finished_at) as at, (count(*) filter (where {ran}))::integer as runs
        from moved where (finished_at is not null or {ran}) and not test
        group by automation_id order by automation_id
    ) o
)
select m.id, (select count(*) from counted), {run_columns}
"""

_COLUMNS = {
    "state_columns": _format_columns(_STATE),
    "state_assignments": _format_assignments(_STATE, {"due_at"}, "i"),
    "stage_columns": _format_columns(_STAGE),
    "stage_names": _format_names(_STAGE),
    "stage_values": _format_names(_STAGE, "x.{}"),
    "step_columns": _format_columns(_STEP),
    "step_names": _format_names(_STEP),
    "step_values": _format_names(_STEP, "x.{}"),
    "step_assignments": _format_assignments(_STEP, {"execution_id", "step_id", "round"}, "excluded"),
    "message_columns": _format_columns(_MESSAGE),
    "message_names": _format_names(_MESSAGE),
    # The contact of the execution as it is: it may have been merged since the claim.
    "message_values": _format_names(_MESSAGE, "x.{}").replace("x.contact_id", "m.contact_id"),
    "message_assignments": _format_assignments(_MESSAGE, {"id", "key", "created_at"}, "excluded"),
}
_RECORD_TYPES = ("json", "json", "json", "json", "uuid[]", "uuid", "uuid", "json")
RECORD = Statement(
    "record_progress",
    _RECORD_TYPES,
    _RECORD.format(**_COLUMNS, count="", ran="false", run_columns="null, null, null, null from moved m"),
)
#: Also counts runs: each row returns the run that was considered, and whether it was counted.
RECORD_AND_COUNT = Statement(
    "record_and_count",
    (*_RECORD_TYPES, "boolean"),
    _RECORD.format(
        **_COLUMNS, count=COUNT.strip() + ",", ran="id in (select n.id from new_runs n)",
        run_columns="c.automation_id, c.contact_id, c.run_kind, n.id is not null "
        "from moved m left join countable c on c.id = m.id left join new_runs n on n.id = m.id",
    ),
)  # fmt: skip
