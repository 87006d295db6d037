"""Automations for display: a page of the list, and one with its definition and versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, TypedDict

from peewee import JOIN, SQL, Case, Cast, fn

from models import automation_schedule
from models.automation_schedule import ScheduleStateRow
from models.database import acting_as
from models.ids import is_id
from models.queries import count, fetch, fetch_first
from models.search import has_words
from models.tables import Automation, Execution, WorkflowVersion
from rules.actions import ACTIONS
from rules.json_text import dump_json
from rules.language import RESERVED_FAMILIES, AutomationType


class AutomationRow(TypedDict):
    """An automation in a list."""

    id: str
    name: str
    type: AutomationType
    enabled: bool
    version: int
    trigger_type: str | None
    total_runs: int
    last_run_at: datetime | None
    last_executed_at: datetime | None
    executions: int
    succeeded: int
    failed: int
    skipped: int
    paused_at: datetime | None
    automatic_retries: bool
    has_draft: bool
    created_at: datetime
    updated_at: datetime


class _DefinitionRow(AutomationRow):
    draft: dict[str, Any] | None
    draft_source: str | None
    draft_saved_at: datetime | None
    draft_saved_by: str | None
    draft_revision: int
    draft_base_version: int | None
    definition: dict[str, Any] | None
    source: str | None


class VersionRow(TypedDict):
    """A published version, without its definition."""

    version: int
    published_by: str
    published_at: datetime
    note: str | None


class PublishedVersion(VersionRow):
    """A published version with its definition; `source` is its text, None if it was published as an object."""

    definition: dict[str, Any]
    source: str | None


class AutomationDetail(_DefinitionRow):
    """An automation with its draft, its published definition, its versions, the number of its active executions
    without tests, and its schedule, if its trigger has one."""

    versions: list[VersionRow]
    in_flight: int
    schedule: ScheduleStateRow | None


class CardRow(TypedDict):
    """What a card in the list shows beside the automation: the published trigger, the executions in flight, and those
    of unknown outcome, which the automation's counter of failures includes. `actions` are a playbook's."""

    id: str
    trigger: dict[str, Any] | None
    actions: list[str] | None
    in_flight: int
    unknown: int


class AnsweringRow(TypedDict):
    """An enabled automation that comments or messages start."""

    id: str
    name: str
    exclusive: bool
    trigger: dict[str, Any]


class AutomationTotals(TypedDict):
    """How many automations a workspace has, and how many of them are on."""

    total: int
    enabled: int


_COLUMNS = (
    Automation.id, Automation.name, Automation.type, Automation.enabled, Automation.version, Automation.trigger_type,
    Automation.total_runs, Automation.last_run_at, Automation.last_executed_at, Automation.executions,
    Automation.succeeded, Automation.failed, Automation.skipped, Automation.paused_at,
    Automation.automatic_retries, Automation.draft_saved_at.is_null(False).alias("has_draft"), Automation.created_at,
    Automation.updated_at,
)  # fmt: skip
# An automation that an upgrade lets start beside others says so, although its version does not.
_DEFINITION = Case(
    None,
    [(Automation.exclusive, WorkflowVersion.definition)],
    fn.jsonb_set(WorkflowVersion.definition, SQL("'{exclusive}'"), SQL("'false'")),
)
#: A step, in any arm, whose action or whose field names the channel.
_ON_CHANNEL = "$.steps.** ? (@.action == $actions[*] || (@.action != null && @.with.channel == $channel))"
#: Automations that answer comments and messages, at most, in which overlaps are looked for.
_MAX_ANSWERING = 2_000
# By hand: the executions in flight are counted once for all automations, and in one part for each status, because each
# has a small index.
_CARDS = """
    with flight as materialized (
        select automation_id from executions
        where workspace_id = %(workspace)s and status = 'pending' and due_at is not null and not test
        union all select automation_id from executions
        where workspace_id = %(workspace)s and status = 'running' and not test
        union all select automation_id from executions
        where workspace_id = %(workspace)s and status = 'waiting' and not test
    ), unknown as materialized (
        select automation_id from executions
        where workspace_id = %(workspace)s and error_class = 'unknown_outcome' and status = 'failed' and not test
    )
    select a.id, v.definition -> 'trigger' as trigger, case when a.type = 'playbook' then
        jsonb_path_query_array(v.definition, '$.steps[*].action') end as actions, (
        select count(*) from flight f where f.automation_id = a.id
    ) in_flight, (select count(*) from unknown u where u.automation_id = a.id) unknown
    from automations a left join workflow_versions v on v.id = a.version_id
    where a.workspace_id = %(workspace)s and a.id = any(%(ids)s::uuid[])
"""


def fetch_page(
    workspace_id: str,
    *,
    limit: int,
    before: str | None = None,
    q: str | None = None,
    type: str | None = None,
    enabled: bool | None = None,
    channel: str | None = None,
) -> list[AutomationRow]:
    """Return at most `limit` automations, newest first, older than `before` (an id); `q` has words of the name, or is
    the id. `channel` selects those whose published version (else whose draft) has a step on that channel."""
    query = Automation.select(*_COLUMNS).where(Automation.workspace_id == workspace_id, Automation.deleted_at.is_null())
    if channel is not None:
        query = query.join(WorkflowVersion, JOIN.LEFT_OUTER, on=WorkflowVersion.id == Automation.version_id).where(
            fn.jsonb_path_exists(
                fn.coalesce(WorkflowVersion.definition, Automation.draft),
                Cast(_ON_CHANNEL, "jsonpath"),
                Cast(dump_json({"channel": channel, "actions": _list_channel_actions(channel)}), "jsonb"),
            )
        )
    if before is not None:
        query = query.where(Automation.id < before)
    if type is not None:
        query = query.where(Automation.type == type)
    if enabled is not None:
        query = query.where(Automation.enabled == enabled)
    if q is not None:
        query = query.where(Automation.id == q if is_id(q) else has_words(Automation.name, q))
    with acting_as(workspace_id):
        return fetch(AutomationRow, query.order_by(Automation.id.desc()).limit(limit))


def _list_channel_actions(channel: str) -> list[str]:
    """Return the actions that use this channel whatever their fields say."""
    return [action.name for action in ACTIONS.values() if channel in (action.channel, action.call_channel)]


def list_recent_playbooks(workspace_id: str, limit: int) -> list[AutomationRow]:
    """Return the playbooks that executed last; those that never did come at the end."""
    query = Automation.select(*_COLUMNS).where(
        Automation.workspace_id == workspace_id, Automation.type == "playbook", Automation.deleted_at.is_null()
    )
    with acting_as(workspace_id):
        newest_first = Automation.last_executed_at.desc(nulls="last")
        return fetch(AutomationRow, query.order_by(newest_first, Automation.id.desc()).limit(limit))


def find(workspace_id: str, automation_id: str) -> AutomationDetail | None:
    """Return one automation with its versions, newest first."""
    query = (
        Automation.select(
            *_COLUMNS,
            Automation.draft,
            Automation.draft_saved_at,
            Automation.draft_saved_by,
            Automation.draft_source,
            Automation.draft_revision,
            Automation.draft_base_version,
            _DEFINITION.alias("definition"),
            WorkflowVersion.source,
        )
        .join(WorkflowVersion, JOIN.LEFT_OUTER, on=WorkflowVersion.id == Automation.version_id)
        .where(Automation.workspace_id == workspace_id, Automation.id == automation_id, Automation.deleted_at.is_null())
    )
    with acting_as(workspace_id):
        row = fetch_first(_DefinitionRow, query)
        if row is None:
            return None
        return {
            **row,
            "versions": _list_versions(automation_id),
            "in_flight": _count_in_flight(automation_id),
            "schedule": automation_schedule.find(workspace_id, automation_id),
        }


def _list_versions(automation_id: str) -> list[VersionRow]:
    return fetch(
        VersionRow,
        WorkflowVersion.select(
            WorkflowVersion.version, WorkflowVersion.published_by, WorkflowVersion.published_at, WorkflowVersion.note
        )
        .where(WorkflowVersion.automation_id == automation_id)
        .order_by(WorkflowVersion.version.desc()),
    )


def find_version(workspace_id: str, automation_id: str, version: int) -> dict[str, Any] | None:
    """Return the definition of one published version."""
    published = find_published(workspace_id, automation_id, version)
    return published and published["definition"]


def find_published(workspace_id: str, automation_id: str, version: int) -> PublishedVersion | None:
    """Return one published version with its definition and its text."""
    row = WorkflowVersion
    query = row.select(row.version, row.published_by, row.published_at, row.note, row.definition, row.source).where(
        row.workspace_id == workspace_id, row.automation_id == automation_id, row.version == version
    )
    with acting_as(workspace_id):
        return fetch_first(PublishedVersion, query)


def _count_in_flight(automation_id: str) -> int:
    return count(_select_in_flight(automation_id).where(~Execution.test))


def count_tests_in_flight(workspace_id: str, automation_id: str) -> int:
    """Count an automation's unfinished tests, which a deletion cancels like the other executions."""
    with acting_as(workspace_id):
        return count(_select_in_flight(automation_id).where(Execution.test))


def _select_in_flight(automation_id: str) -> Any:
    return Execution.select().where(Execution.automation_id == automation_id, Execution.finished_at.is_null())


def list_answering(workspace_id: str) -> list[AnsweringRow]:
    """Return the enabled automations that comments or messages start, oldest first."""
    trigger_ = WorkflowVersion.definition.extract("trigger").alias("trigger")
    is_answering = reduce(or_, (Automation.trigger_type.startswith(family) for family in RESERVED_FAMILIES))
    query = (
        Automation.select(Automation.id, Automation.name, Automation.exclusive, trigger_)
        .join(WorkflowVersion, on=WorkflowVersion.id == Automation.version_id)
        .where(Automation.workspace_id == workspace_id, Automation.enabled, Automation.deleted_at.is_null())
        .where(is_answering)
    )
    with acting_as(workspace_id):
        return fetch(AnsweringRow, query.order_by(Automation.id).limit(_MAX_ANSWERING))


def fetch_totals(workspace_id: str) -> AutomationTotals:
    """Return how many automations the workspace has."""
    everything = fn.count(SQL("*"))
    query = Automation.select(everything.alias("total"), everything.filter(Automation.enabled).alias("enabled"))
    with acting_as(workspace_id):
        row = fetch_first(
            AutomationTotals, query.where(Automation.workspace_id == workspace_id, Automation.deleted_at.is_null())
        )
    assert row is not None
    return row


def fetch_card_data(workspace_id: str, automation_ids: Sequence[str]) -> dict[str, CardRow]:
    """Return the data of each automation's card, without tests, by id."""
    with acting_as(workspace_id):
        rows = fetch(CardRow, _CARDS, {"workspace": workspace_id, "ids": list(automation_ids)})
    return {row["id"]: row for row in rows}
