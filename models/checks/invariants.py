"""Invariants of every committed row: what Beckon guarantees, as queries for violations.

Each invariant is one row of `INVARIANTS`: a name, the promise, and SQL that returns `id` and `workspace_id` of each
violation. They hold while everything runs, because related changes commit together; those on time allow
`GRACE_SECONDS`. Rows that retention may have removed are excluded.

Three are about lateness alone: a backlog or a stopped worker makes work late, no row is wrong, and it ends by itself
once work goes on. `beckon verify` reports them as late, not as violated.

The queries are written by hand, so that they share no expression with the code that they check. Building them would
cost nothing beside running them: each reads whole tables, and only `beckon verify` and `beckon doctor` run them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.checks.analytics_counts import ANALYTICS_ADD_UP
from models.checks.execution_counters import EXPECTED_COUNTERS
from models.checks.execution_retention import KEEP_DAYS, KEEP_TEST_DAYS
from models.engine.limits import ALL_CONTACTS
from rules import contacts
from rules.actions import MAX_ATTRIBUTE_NAME_LENGTH
from rules.channels import CONTACT_CHANNELS
from rules.stages import MOVES, STAGES_BY_STATUS

#: How late something may be before it counts as stuck.
GRACE_SECONDS = 60
#: Durations are truncated to milliseconds and measured by the clocks of more than one process.
CLOCK_TOLERANCE_MS = 1_000


@dataclass(frozen=True)
class Invariant:
    """A condition that always holds; `sql` returns (id, workspace_id) of each violation, with `PARAMETERS`."""

    name: str
    promise: str
    sql: str
    #: Whether a violation is only late: it ends by itself once work goes on.
    is_lateness: bool = False


def _list_pairs(table: Mapping[str, Iterable[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, values in sorted(table.items()) for value in sorted(values))


#: The parameters of the queries.
PARAMETERS: Mapping[str, Any] = {
    "stages_by_status": _list_pairs(STAGES_BY_STATUS),
    "moves": _list_pairs(MOVES),
    "grace_seconds": GRACE_SECONDS,
    "clock_tolerance_ms": CLOCK_TOLERANCE_MS,
    "keep_days": KEEP_DAYS,
    "keep_test_days": min(KEEP_TEST_DAYS, KEEP_DAYS),
    "all_contacts": ALL_CONTACTS,
    "contact_channels": CONTACT_CHANNELS,
    "max_tags": contacts.MAX_TAGS,
    "max_tag_length": contacts.MAX_TAG_LENGTH,
    "max_attributes_bytes": contacts.MAX_ATTRIBUTES_BYTES,
    "max_attributes_depth": contacts.MAX_ATTRIBUTES_DEPTH,
    "max_attribute_name_length": MAX_ATTRIBUTE_NAME_LENGTH,
    "max_name_length": contacts.MAX_NAME_LENGTH,
    "max_email_length": contacts.MAX_EMAIL_LENGTH,
    "max_phone_length": contacts.MAX_PHONE_LENGTH,
    "max_zone_length": contacts.MAX_ZONE_LENGTH,
}

_STAGES_MATCH_STATUSES = """
    select e.id, e.workspace_id from executions e where (e.status, e.stage) not in %(stages_by_status)s
"""

_MOVES_ARE_ALLOWED = """
    select distinct h.execution_id as id, h.workspace_id from stage_history h
    where (h.from_stage, h.stage) not in %(moves)s
"""

# Moves form one path from queued to the current stage if every stage is entered as often as it is left, except the
# first and the last. Counting needs no order, so two moves in the same microsecond are no problem.
_HISTORY_IS_A_PATH = """
    with ends as (
        select execution_id, from_stage as stage, 1 as balance from stage_history
        union all select execution_id, stage, -1 from stage_history
        union all select id, 'queued', -1 from executions
        union all select id, stage, 1 from executions
    ), unbalanced as (
        select execution_id from (
            select execution_id, stage from ends group by execution_id, stage having sum(balance) <> 0
        ) u group by execution_id
    )
    select e.id, e.workspace_id from unbalanced u join executions e on e.id = u.execution_id
    where e.created_at > beckon_now() - make_interval(
            days => case when e.test then %(keep_test_days)s else %(keep_days)s end)
"""

_DURATIONS_ADD_UP = """
    select e.id, e.workspace_id from executions e
    join (select execution_id, sum(from_ms) as total_ms, count(*) as moves from stage_history group by execution_id) h
        on h.execution_id = e.id
    where e.created_at > beckon_now() - make_interval(
            days => case when e.test then %(keep_test_days)s else %(keep_days)s end)
        and abs(extract(epoch from e.stage_since - e.created_at) * 1000 - h.total_ms) > %(clock_tolerance_ms)s + h.moves
"""

_LEASES_ARE_CURRENT = """
    select e.id, e.workspace_id from executions e
    where e.status = 'running' and e.lease_until < beckon_now() - make_interval(secs => %(grace_seconds)s)
"""

_DUE_WORK_IS_CLAIMED = """
    select e.id, e.workspace_id from executions e
    where e.status in ('pending', 'waiting') and e.due_at < beckon_now() - make_interval(secs => %(grace_seconds)s)
"""

_WAITS_CAN_END = """
    select e.id, e.workspace_id from executions e join automations a on a.id = e.automation_id
    where e.status in ('pending', 'waiting') and e.due_at is null and not coalesce(
        (e.waiting_for = 'event' and e.wait_event is not null and e.contact_id is not null)
        or (e.waiting_for = 'review' and exists (
            select 1 from messages m where m.execution_id = e.id and m.status = 'review'))
        or (e.waiting_for = 'pause' and (a.paused_at is not null or exists (
            select 1 from pauses p where p.workspace_id = e.workspace_id))), false)
"""

_DIFFERING_COUNTERS = """
    select a.id, a.workspace_id from automations a join ({expected}) x on x.id = a.id
    where (a.executions, a.succeeded, a.failed, a.skipped, a.cancelled)
        is distinct from (x.executions, x.succeeded, x.failed, x.skipped, x.cancelled)
"""
_COUNTERS_ADD_UP = _DIFFERING_COUNTERS.format(expected=EXPECTED_COUNTERS)

# An entry that cannot be recorded was set aside, for people.
_INTAKE_IS_RECORDED = """
    select i.id, i.workspace_id from tracking_intake i
    where i.failed_at is null and i.received_at < beckon_now() - make_interval(secs => %(grace_seconds)s)
"""

_RECORDED_INTAKE_IS_REMOVED = """
    select i.id, i.workspace_id from tracking_intake i join workflow_executions w on w.id = i.id
"""

_TRACKED_EXECUTIONS_ARE_UNIQUE = """
    select (array_agg(w.id order by w.id))[2] as id, w.workspace_id from workflow_executions w
    where w.execution_id is not null and w.received_at > beckon_now() - make_interval(days => %(keep_days)s)
    group by w.workspace_id, w.execution_id having count(*) > 1
"""

_TRACKED_ACTIONS_ARE_COMPLETE = """
    select coalesce(w.id, e.workflow_execution_id) as id, coalesce(w.workspace_id, e.workspace_id) as workspace_id
    from workflow_executions w full join (
        select workflow_execution_id, workspace_id, workflow_id, count(*) as actions, count(error) as failed
        from analytics_events where workflow_execution_id is not null group by 1, 2, 3
    ) e on (e.workflow_execution_id, e.workspace_id, e.workflow_id) = (w.id, w.workspace_id, w.workflow_id)
    where w.id is null or (w.action_count, w.failed_actions) <> (coalesce(e.actions, 0), coalesce(e.failed, 0))
"""

# Hourly counters are compared with rows for the hours that both cover.
_RUN_COUNTERS_ADD_UP = """
    select a.id, a.workspace_id from automations a left join (
        select automation_id, count(*) as runs, max(at) as newest from automation_runs group by automation_id
    ) r on r.automation_id = a.id
    where a.total_runs <> a.archived_runs + coalesce(r.runs, 0)
        or (a.archived_runs = 0 and a.last_run_at is distinct from r.newest)
    union
    select a.id, a.workspace_id from automations a
    cross join lateral unnest(a.hourly_runs) with ordinality as h(runs, place)
    left join (
        select automation_id, hour_of(at) as hour, count(*) as runs from automation_runs
        where at > beckon_now() - interval '25 hours' group by 1, 2
    ) r on r.automation_id = a.id and r.hour = a.newest_run_hour - h.place + 1
    where a.newest_run_hour - h.place + 1 > hour_of(beckon_now()) - 24 and h.runs <> coalesce(r.runs, 0)
"""

_RUNS_ARE_APART = """
    select r.id, r.workspace_id from (
        select id, workspace_id, contact_id, at,
            at - lag(at) over (partition by automation_id, contact_id order by at) as apart
        from automation_runs
    ) r where r.apart < interval '1 hour'
        -- Those of two contacts were counted before they were merged.
        and not exists (select from contacts c where c.merged_into = r.contact_id and c.deleted_at >= r.at)
"""

_RUNS_ARE_UNIQUE = """
    select (array_agg(r.id order by r.at))[2] as id, r.workspace_id from automation_runs r
    group by r.workspace_id, r.execution_id having count(*) > 1
"""

_MESSAGES_ARE_UNIQUE = """
    select (array_agg(m.id order by m.id))[1] as id, m.workspace_id from messages m
    group by m.workspace_id, m.execution_id, m.step_id, m.round having count(*) > 1
    union
    select m.id, m.workspace_id from messages m where m.key <> m.execution_id || ':' || m.step_id || ':' || m.round
"""

_EXECUTIONS_ARE_UNIQUE = """
    select (array_agg(e.id order by e.id))[2] as id, e.workspace_id from executions e
    group by e.workspace_id, e.trigger_id, e.automation_id having count(*) > 1
"""

_SENDING_MEANS_RUNNING = """
    select m.id, m.workspace_id from messages m left join executions e on e.id = m.execution_id
    where m.status = 'sending' and e.status is distinct from 'running'
"""

# A message that an operator marked as sent has no provider id; Slack and webhooks return none.
_SENDS_HAVE_RECEIPTS = """
    select m.id, m.workspace_id from messages m
    where m.status in ('sent', 'delivered', 'read', 'bounced', 'complained') and (m.sent_at is null or (
        m.provider in ('mailgun', 'telnyx') and m.provider_message_id is null and not exists (
            select 1 from steps s where s.execution_id = m.execution_id and s.step_id = m.step_id
                and s.round = m.round and s.output ->> 'resolved' = 'true')))
"""

_SUCCESSES_ARE_COMPLETE = """
    select distinct e.id, e.workspace_id from steps s join executions e on e.id = s.execution_id
    where e.status = 'succeeded' and s.status in ('pending', 'running', 'failed')
"""

_FOLLOW_UPS_ARE_COUNTED = """
    select e.id, e.workspace_id from executions e left join lateral (
        select count(distinct m.round) as sent from messages m where m.execution_id = e.id and m.round > 0
            and m.sent_at is not null and m.channel in %(contact_channels)s
    ) m on true
    where (e.round > 0 or e.follow_up_count > 0) and (e.follow_up_count > e.round
        or (e.status = 'succeeded' and e.follow_up_count <> m.sent))
"""

# Counts of the last days; older ones are removed. Each reservation counts for all contacts and for its own.
_LIMIT_COUNTS_ADD_UP = """
    with reserved as (
        select automation_id, workspace_id, contact_id, day from limit_reservations
        union all
        select automation_id, workspace_id, %(all_contacts)s::uuid, day from limit_reservations
            where contact_id <> %(all_contacts)s::uuid
    ), added as (
        select automation_id, workspace_id, contact_id, day, count(*) as count from reserved group by 1, 2, 3, 4
    )
    select distinct coalesce(c.automation_id, r.automation_id) as id,
        coalesce(c.workspace_id, r.workspace_id) as workspace_id
    from limit_counts c full join added r
        on (r.automation_id, r.contact_id, r.day) = (c.automation_id, c.contact_id, c.day)
    where coalesce(c.count, 0) <> coalesce(r.count, 0)
        and coalesce(c.day, r.day) >= beckon_now()::date - 2
"""

# A limit may change during the day: the highest limit of any of the day's executions must hold.
_LIMITS_HOLD = """
    with under as (
        select r.automation_id, r.contact_id, r.day,
            (v.definition #>> '{rules,daily_limit}')::numeric as daily_limit,
            (v.definition #>> '{rules,contact_daily_limit}')::numeric as contact_daily_limit
        from limit_reservations r join executions e on e.id = r.execution_id
        join workflow_versions v on v.id = e.version_id
    ), highest as (
        select automation_id, day, %(all_contacts)s::uuid as contact_id,
            case when bool_and(daily_limit is not null) then max(daily_limit) end as most
        from under group by automation_id, day
        union all
        select automation_id, day, contact_id,
            case when bool_and(contact_daily_limit is not null) then max(contact_daily_limit) end
        from under where contact_id <> %(all_contacts)s::uuid group by automation_id, day, contact_id
    )
    select distinct c.automation_id as id, c.workspace_id from limit_counts c
    join highest h on (h.automation_id, h.contact_id, h.day) = (c.automation_id, c.contact_id, c.day)
    where c.count > h.most
        -- Two contacts had a limit each on the day on which they were merged, and before.
        and not exists (select from contacts s where s.merged_into = c.contact_id and s.deleted_at >= c.day)
"""

_KEYS_HAVE_TRIGGERS = """
    select k.trigger_id as id, k.workspace_id from idempotency_keys k left join triggers t on t.id = k.trigger_id
    where t.id is null or t.workspace_id <> k.workspace_id or t.idempotency_key is distinct from k.key
"""

_EXECUTIONS_HAVE_TRIGGERS = """
    select e.id, e.workspace_id from executions e
    left join triggers t on t.id = e.trigger_id left join workflow_versions v on v.id = e.version_id
    where t.id is null or v.id is null or (v.automation_id, v.version) <> (e.automation_id, e.version)
        or t.test <> e.test or t.contact_id is distinct from e.contact_id
"""

#: The first id of the oldest month that retention keeps: of a dropped month, messages and moves are removed later.
_OLDEST_MONTH = "lowest_id_at(date_trunc('month', beckon_now() - make_interval(days => %(keep_days)s), 'UTC'))"
_ROWS_HAVE_EXECUTIONS = """
    select s.execution_id as id, s.workspace_id from steps s
        where not exists (select 1 from executions e where e.id = s.execution_id)
    union
    select m.execution_id, m.workspace_id from messages m
        where m.execution_id >= {oldest} and not exists (select 1 from executions e where e.id = m.execution_id)
    union
    select h.execution_id, h.workspace_id from stage_history h
        where h.execution_id >= {oldest} and not exists (select 1 from executions e where e.id = h.execution_id)
""".format_map({"oldest": _OLDEST_MONTH})

_TESTS_STAY_IN_SANDBOX = """
    select distinct e.id, e.workspace_id from executions e join messages m on m.execution_id = e.id
        where m.test <> e.test or (e.test and not m.sandbox)
    union
    select distinct e.id, e.workspace_id from executions e join stage_history h on h.execution_id = e.id
        where h.test <> e.test
    union
    select e.id, e.workspace_id from executions e join limit_reservations r on r.execution_id = e.id where e.test
    union
    select e.id, e.workspace_id from executions e where e.test and e.run_kind is not null
"""

_WORKSPACES_ARE_SEPARATE = """
    select e.id, e.workspace_id from executions e
    join automations a on a.id = e.automation_id
    left join triggers t on t.id = e.trigger_id
    left join workflow_versions v on v.id = e.version_id
    left join contacts c on c.id = e.contact_id
    where a.workspace_id <> e.workspace_id or t.workspace_id <> e.workspace_id or v.workspace_id <> e.workspace_id
        or c.workspace_id <> e.workspace_id
    union
    select e.id, e.workspace_id from executions e join steps s on s.execution_id = e.id
        where s.workspace_id <> e.workspace_id
    union
    select e.id, e.workspace_id from executions e join messages m on m.execution_id = e.id
        where (m.workspace_id, m.automation_id) <> (e.workspace_id, e.automation_id)
            or m.contact_id is distinct from e.contact_id
    union
    select e.id, e.workspace_id from executions e join stage_history h on h.execution_id = e.id
        where (h.workspace_id, h.automation_id) <> (e.workspace_id, e.automation_id)
    union
    select r.id, r.workspace_id from automation_runs r join automations a on a.id = r.automation_id
        where a.workspace_id <> r.workspace_id
"""

_RESPONSES_HAVE_EXECUTIONS = """
    select distinct t.id, t.workspace_id from triggers t
    cross join jsonb_to_recordset(t.answer -> 'executions') as answer("executionId" uuid, "automationId" uuid)
    left join executions e on e.id = answer."executionId"
    join workspaces w on w.id = t.workspace_id
    where t.created_at > beckon_now() - make_interval(
            days => case when t.test then %(keep_test_days)s else coalesce(w.keep_days, %(keep_days)s) end)
        and (e.id is null or (e.trigger_id, e.automation_id) <> (t.id, answer."automationId"))
    union
    select distinct t.id, t.workspace_id from executions e join triggers t on t.id = e.trigger_id
    where not t.answer -> 'executions' @> jsonb_build_array(jsonb_build_object('executionId', e.id))
"""

# A message whose intent was recorded just before the suppression was still sent.
_SUPPRESSED_ADDRESSES_GET_NOTHING = """
    select m.id, m.workspace_id from messages m
    join suppressed_addresses a on a.workspace_id = m.workspace_id and a.channel = m.channel
        and a.address = m.to_address
    where not m.test and m.sent_at is not null
        and coalesce(m.sending_at, m.sent_at) > a.created_at + make_interval(secs => %(grace_seconds)s)
        -- Transactional e-mail ignores that reason alone, and a topic can be allowed again.
        and not (a.channel = 'email' and a.reason = 'unsubscribed' and exists (
            select from executions e
            join workflow_versions v on v.automation_id = e.automation_id and v.version = e.version
            where e.id = m.execution_id
                and (v.definition -> 'topic' is not null or v.definition -> 'transactional' = 'true'::jsonb)))
    union
    -- Erased addresses are known by their hashes alone, which SQL cannot compute.
    select m.id, m.workspace_id from messages m
    join email_recipients r on r.workspace_id = m.workspace_id and r.address = m.to_address
    join suppressed_topics t on t.workspace_id = r.workspace_id and t.address_hash = r.address_hash
    join executions e on e.id = m.execution_id
    join workflow_versions v on v.automation_id = e.automation_id and v.version = e.version
    where m.channel = 'email' and not m.test and m.sent_at is not null
        and coalesce(m.sending_at, m.sent_at) > t.created_at + make_interval(secs => %(grace_seconds)s)
        and v.definition ->> 'topic' = t.topic
        and v.definition -> 'transactional' is distinct from 'true'::jsonb
"""

# A container at depth n is nested n levels deep, the attributes themselves at 0.
_CONTACTS_ARE_WITHIN_LIMITS = """
    select c.id, c.workspace_id from contacts c
    where cardinality(c.tags) > %(max_tags)s
        or exists (select from unnest(c.tags) tag where char_length(tag) > %(max_tag_length)s)
        or octet_length(c.attributes::text) > %(max_attributes_bytes)s
        or exists (
            select from jsonb_object_keys(c.attributes) name where char_length(name) > %(max_attribute_name_length)s)
        or jsonb_path_exists(
            c.attributes, format('strict $.**{%%s} ? (@.type() == "object" || @.type() == "array")',
                %(max_attributes_depth)s)::jsonpath)
        or greatest(char_length(c.external_id), char_length(c.first_name), char_length(c.last_name),
            char_length(c.username), char_length(c.facebook_id), char_length(c.instagram_id)) > %(max_name_length)s
        or char_length(c.email) > %(max_email_length)s or char_length(c.phone) > %(max_phone_length)s
        or char_length(c.timezone) > %(max_zone_length)s
"""

INVARIANTS = (
    Invariant("stages_match_statuses", "Every execution's status allows its stage.", _STAGES_MATCH_STATUSES),
    Invariant("moves_are_allowed", "Every move in the stage history is allowed.", _MOVES_ARE_ALLOWED),
    Invariant(
        "history_is_a_path",
        "Every stage history leads from queued to the execution's current stage.",
        _HISTORY_IS_A_PATH,
    ),
    Invariant("durations_add_up", "The times in the stages add up to the execution's age.", _DURATIONS_ADD_UP),
    Invariant(
        "leases_are_current",
        "No execution runs with a lease that expired over a minute ago.",
        _LEASES_ARE_CURRENT,
        is_lateness=True,
    ),
    Invariant(
        "due_work_is_claimed",
        "No execution has been due for over a minute.",
        _DUE_WORK_IS_CLAIMED,
        is_lateness=True,
    ),
    Invariant(
        "waits_can_end", "Every waiting execution has a time, event, review or pause to wait for.", _WAITS_CAN_END
    ),
    Invariant(
        "counters_add_up",
        "Every automation's counters equal archived counts plus rows, without tests.",
        _COUNTERS_ADD_UP,
    ),
    Invariant("analytics_add_up", "The counts of Analytics for the last two days equal the rows.", ANALYTICS_ADD_UP),
    Invariant(
        "run_counters_add_up", "Every automation's run counters equal archived counts plus rows.", _RUN_COUNTERS_ADD_UP
    ),
    Invariant("runs_are_apart", "A contact's runs of an automation are at least an hour apart.", _RUNS_ARE_APART),
    Invariant("runs_are_unique", "An execution counts as one run at most.", _RUNS_ARE_UNIQUE),
    Invariant(
        "messages_are_unique",
        "Each step of each round has at most one message, with its own key.",
        _MESSAGES_ARE_UNIQUE,
    ),
    Invariant("executions_are_unique", "A trigger starts each automation at most once.", _EXECUTIONS_ARE_UNIQUE),
    Invariant(
        "sending_means_running", "A message is being sent only while its execution runs.", _SENDING_MEANS_RUNNING
    ),
    Invariant("sends_have_receipts", "Every sent message has its time and its provider's id.", _SENDS_HAVE_RECEIPTS),
    Invariant(
        "successes_are_complete",
        "A succeeded execution has no step that failed or is unfinished.",
        _SUCCESSES_ARE_COMPLETE,
    ),
    Invariant("follow_ups_are_counted", "The follow-up count equals the follow-ups sent.", _FOLLOW_UPS_ARE_COUNTED),
    Invariant("limit_counts_add_up", "Every day's limit count equals its reservations.", _LIMIT_COUNTS_ADD_UP),
    Invariant("limits_hold", "No day's limit count exceeds the workflow's limit.", _LIMITS_HOLD),
    Invariant("keys_have_triggers", "Every idempotency key references its trigger.", _KEYS_HAVE_TRIGGERS),
    Invariant(
        "executions_have_triggers", "Every execution has its trigger and its version.", _EXECUTIONS_HAVE_TRIGGERS
    ),
    Invariant("rows_have_executions", "Every step, message and move has its execution.", _ROWS_HAVE_EXECUTIONS),
    Invariant(
        "tests_stay_in_sandbox", "Tests only send to the sandbox and use no limits or runs.", _TESTS_STAY_IN_SANDBOX
    ),
    Invariant(
        "suppressed_addresses_get_nothing",
        "No message was sent to an address after it, or its topic, was suppressed.",
        _SUPPRESSED_ADDRESSES_GET_NOTHING,
    ),
    Invariant(
        "contacts_are_within_limits",
        "No contact has more, longer or deeper tags, attributes and fields than the limits allow.",
        _CONTACTS_ARE_WITHIN_LIMITS,
    ),
    Invariant("workspaces_are_separate", "All rows of an execution belong to one workspace.", _WORKSPACES_ARE_SEPARATE),
    Invariant(
        "intake_is_recorded",
        "No accepted execution of a playbook waits for over a minute to be recorded.",
        _INTAKE_IS_RECORDED,
        is_lateness=True,
    ),
    Invariant(
        "recorded_intake_is_removed",
        "No accepted execution of a playbook is kept once it is recorded.",
        _RECORDED_INTAKE_IS_REMOVED,
    ),
    Invariant(
        "tracked_executions_are_unique",
        "An execution id of a playbook is recorded once in its workspace.",
        _TRACKED_EXECUTIONS_ARE_UNIQUE,
    ),
    Invariant(
        "tracked_actions_are_complete",
        "Every execution of a playbook has its actions, and every action its execution.",
        _TRACKED_ACTIONS_ARE_COMPLETE,
    ),
    Invariant(
        "responses_have_executions", "Every execution in a producer's response exists.", _RESPONSES_HAVE_EXECUTIONS
    ),
)
