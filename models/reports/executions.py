"""Executions for display: a page of the list, and one with its stages, steps and messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict, cast

import peewee
from peewee import JOIN, SQL, Case, fn

from models.database import acting_as, snapshot
from models.execution import is_retry_queued
from models.execution_filters import ExecutionFilters
from models.expressions import is_any
from models.queries import fetch, fetch_first, fetch_value
from models.search import find_matching_contacts, match_words
from models.tables import (
    Automation,
    Contact,
    Execution,
    Message,
    MessageLink,
    ProviderBreaker,
    StageHistory,
    Step,
    Trigger,
    WorkflowVersion,
)
from models.tables.executions import TriggerSource
from rules import sms_text
from rules.errors import BY_CLASS
from rules.stages import MessageStatus, Stage, Status, StepStatus, WaitingFor

#: The newest executions searched for words before the contacts are searched.
_SCAN_LIMIT = 5000
#: The most matching contacts whose executions are collected and sorted.
_MAX_CONTACTS = 2000

#: An error for display: its class and message, the provider's code, and whether it is retried automatically.
ErrorDescription = TypedDict(
    "ErrorDescription", {"class": str, "message": str | None, "code": str | None, "retryable": bool}
)


class Reason(TypedDict):
    """Why a rule or an operator skipped or ended something."""

    rule: str
    detail: dict[str, Any] | None


class FollowUpState(TypedDict):
    """How many follow-ups were sent and are allowed, and when the next is due."""

    count: int
    max: int
    next_check_at: datetime | None


class _CommonRow(TypedDict):
    id: str
    automation_id: str
    automation_name: str
    version: int
    contact_id: str | None
    contact_name: str | None
    status: Status
    stage: Stage
    stage_since: datetime
    test: bool
    demo: bool
    attempt: int
    next_retry_at: datetime | None
    provider: str | None
    #: Whether its retry is notified and not claimed yet.
    retry_queued: bool
    waiting_for: WaitingFor | None
    wait_event: str | None
    round: int
    follow_up_ended_because: Reason | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    execution_time_ms: int | None


_COMMON = frozenset(_CommonRow.__annotations__)


class _Row(_CommonRow):
    error_class: str | None
    error_message: str | None
    error_code: str | None
    due_at: datetime | None
    skipped_rule: str | None
    skipped_detail: dict[str, Any] | None
    follow_up_count: int
    follow_up_max: int


class ExecutionItem(_CommonRow):
    """An execution of a list. `resume_at` is when it continues without an operator, unless a retry is to come; `demo`
    marks one of `beckon demo`, which counts although its contact is invented."""

    error: ErrorDescription | None
    skipped_because: Reason | None
    follow_up: FollowUpState
    resume_at: datetime | None


class StageItem(TypedDict):
    """A stage with the times it was entered and left; the current one has no `left_at`."""

    stage: Stage
    entered_at: datetime
    left_at: datetime | None
    duration_ms: int | None


class StepItem(TypedDict):
    """A step of one round, with the failures of its attempts."""

    id: str
    round: int
    action: str
    status: StepStatus
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    execution_time_ms: int | None
    output: dict[str, Any] | None
    error: dict[str, Any] | None
    failures: list[dict[str, Any]]


class LinkItem(TypedDict):
    """A link of a message whose clicks are counted: its target, and when it was first clicked."""

    url: str
    clicked_at: datetime | None


class _MessageRow(TypedDict):
    """A message; `shortened_from` is the length of a text that was too long for the channel."""

    id: str
    step_id: str
    round: int
    channel: str
    to: str
    subject: str | None
    body: str
    #: The characters of a text that retention removed.
    body_length: int | None
    format: str
    status: MessageStatus
    provider: str
    sandbox: bool
    provider_message_id: str | None
    send_at: datetime | None
    sent_at: datetime | None
    generation_ms: int | None
    error_class: str | None
    error_message: str | None
    created_at: datetime
    next_look_up_at: datetime | None
    #: Its look-ups at the provider: {at, asked, found, requested}; `found` is null where it did not answer.
    lookups: list[dict[str, Any]]
    way: str | None
    shortened_from: int | None
    buttons: list[dict[str, Any]]
    quick_replies: list[str]


class MessageItem(_MessageRow):
    """A message with its counted links, in their order, and the parts of an SMS."""

    links: list[LinkItem]
    segments: int | None


class ExecutionDetail(ExecutionItem):
    """An execution with its stages, steps and messages, oldest first."""

    stages: list[StageItem]
    steps: list[StepItem]
    messages: list[MessageItem]


class ExecutionOrigin(TypedDict):
    """What an execution started from: its trigger, its version's definition, and the contact's addresses; and when its
    message of unknown outcome is reconciled next."""

    trigger_type: str | None
    trigger_source: TriggerSource | None
    idempotency_key: str | None
    payload: dict[str, Any] | None
    #: The automations that left the event to this one, with the reason; null for a trigger of an earlier version.
    not_chosen: list[dict[str, str]] | None
    definition: dict[str, Any] | None
    email: str | None
    phone: str | None
    timezone: str | None
    look_up_at: datetime | None
    automation_deleted: bool
    current_version: int | None


def fetch_page(
    workspace_id: str, filters: ExecutionFilters, limit: int, before: str | None = None
) -> list[ExecutionItem]:
    """Return at most `limit` executions, newest first, older than the one with id `before`."""
    with acting_as(workspace_id):
        if filters.words is None:
            rows = _fetch_rows(_select_newest(filters, before).limit(limit))
        else:
            rows = _search_rows(filters, limit, before)
    return [_build_item(row) for row in rows]


def _select_newest(filters: ExecutionFilters, before: str | None) -> Any:
    query = Execution.select(Execution.id, Execution.contact_id).where(filters.build_condition())
    return (query if before is None else query.where(Execution.id < before)).order_by(Execution.id.desc())


def _fetch_rows(page: Any) -> list[_Row]:
    """Fetch the executions of `page` (ids). The joins run only for these."""
    ids = page.alias("page")
    return fetch(_Row, _select_rows().join(ids, on=ids.c.id == Execution.id).order_by(Execution.id.desc()))


def _select_rows() -> Any:
    full_name = fn.nullif(fn.trim(fn.concat_ws(" ", Contact.first_name, Contact.last_name)), "")
    addresses = (Contact.username, Contact.email, Contact.phone, Contact.external_id)
    is_demo = fn.coalesce(Contact.sample, False) & ~Execution.test
    max_follow_ups = WorkflowVersion.definition.extract_text("rules", "follow_ups", "max")
    return (
        Execution.select(
            Execution.id, Execution.automation_id, Automation.name.alias("automation_name"), Execution.version,
            Execution.contact_id, fn.coalesce(full_name, *addresses).alias("contact_name"), Execution.status,
            Execution.stage, Execution.stage_since, Execution.test, is_demo.alias("demo"),
            Execution.attempt, Execution.error_class,
            Execution.error_message, Execution.error_code, Execution.next_retry_at,
            _build_due_at().alias("due_at"),
            Execution.provider, is_retry_queued().alias("retry_queued"), Execution.waiting_for, Execution.wait_event,
            Execution.skipped_rule, Execution.skipped_detail, Execution.round, Execution.follow_up_count,
            Execution.follow_up_ended_because,
            fn.coalesce(max_follow_ups.cast("numeric").cast("integer"), 0).alias("follow_up_max"),
            Execution.created_at, Execution.started_at, Execution.finished_at, Execution.execution_time_ms,
        )
        .join(Automation, on=Automation.id == Execution.automation_id)
        .switch(Execution)
        .join(Contact, JOIN.LEFT_OUTER, on=Contact.id == Execution.contact_id)
        .switch(Execution)
        .join(WorkflowVersion, JOIN.LEFT_OUTER, on=WorkflowVersion.id == Execution.version_id)
        .switch(Execution)
    )  # fmt: skip


def _build_due_at() -> Any:
    """Build when a waiting execution continues: one that waits for a provider's answer, with the next probe."""
    probe = ProviderBreaker.select(ProviderBreaker.probe_at).where(
        ProviderBreaker.workspace_id == Execution.workspace_id, ProviderBreaker.provider == Execution.provider
    )
    return Case(None, [(Execution.waiting_for == "provider", fn.coalesce(probe, Execution.due_at))], Execution.due_at)


def _search_rows(filters: ExecutionFilters, limit: int, before: str | None) -> list[_Row]:
    """Return a page of executions whose contacts have these words in their names and addresses.

    Common words are found among the newest executions. Else the contacts are searched: the executions of a few are
    collected and sorted; if many match, the executions are scanned, newest first, until the page is full.
    """
    text = filters.words or ""
    query = _select_newest(replace(filters, q=None), before)
    newest = query.limit(_SCAN_LIMIT).alias("newest")
    matches = peewee.Select([newest], [newest.c.id]).where(_build_match(newest.c.contact_id, text))
    rows = _fetch_rows(matches.order_by(newest.c.id.desc()).limit(limit))
    if len(rows) == limit:
        return rows
    contacts = find_matching_contacts(text, _MAX_CONTACTS + 1)
    contact_ids = fetch_value(peewee.Select(columns=[fn.array(peewee.Select(columns=[contacts]))]))
    if len(contact_ids) > _MAX_CONTACTS:
        return _fetch_rows(query.where(_build_match(Execution.contact_id, text)).limit(limit))
    # Without `offset 0` PostgreSQL might scan all executions for a page that is never full.
    collected = query.where(is_any(Execution.contact_id, contact_ids)).order_by().offset(0).alias("collected")
    return _fetch_rows(peewee.Select([collected], [collected.c.id]).order_by(collected.c.id.desc()).limit(limit))


def _build_match(contact_id: Any, text: str) -> Any:
    """Build whether the contact has these words, or this text as its address."""
    has_words = peewee.Expression(Contact.search, "@@", match_words(text))
    has_address = (Contact.email == text.lower()) | (Contact.phone == text)
    return Contact.select(has_words | has_address).where(Contact.id == contact_id)


def fetch_detail(workspace_id: str, execution_id: str) -> ExecutionDetail | None:
    """Return one execution with its stages, steps and messages, all of one moment; None if the workspace has none with
    this id."""
    with snapshot(workspace_id):
        query = _select_rows().where(Execution.workspace_id == workspace_id, Execution.id == execution_id)
        row = fetch_first(_Row, query)
        if row is None:
            return None
        return {
            **_build_item(row),
            "stages": _fetch_stages(row),
            "steps": _fetch_steps(execution_id),
            "messages": _fetch_messages(execution_id),
        }


def fetch_origin(workspace_id: str, execution_id: str) -> ExecutionOrigin | None:
    """Return what an execution started from; None if there is no such execution."""
    look_up_at = Message.select(fn.min(Message.look_up_at)).where(
        Message.execution_id == Execution.id, Message.status == "outcome_unknown"
    )
    query = (
        Execution.select(
            Trigger.type.alias("trigger_type"), Trigger.source.alias("trigger_source"), Trigger.idempotency_key,
            Trigger.payload, Trigger.answer.extract("notChosen").alias("not_chosen"), WorkflowVersion.definition,
            Contact.email, Contact.phone, Contact.timezone,
            look_up_at.alias("look_up_at"), Automation.deleted_at.is_null(False).alias("automation_deleted"),
            Automation.version.alias("current_version"),
        )
        .join(Automation, on=Automation.id == Execution.automation_id)
        .switch(Execution)
        .join(Trigger, JOIN.LEFT_OUTER, on=Trigger.id == Execution.trigger_id)
        .switch(Execution)
        .join(WorkflowVersion, JOIN.LEFT_OUTER, on=WorkflowVersion.id == Execution.version_id)
        .switch(Execution)
        .join(Contact, JOIN.LEFT_OUTER, on=Contact.id == Execution.contact_id)
        .where(Execution.workspace_id == workspace_id, Execution.id == execution_id)
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch_first(ExecutionOrigin, query)


def _build_item(row: _Row) -> ExecutionItem:
    """Combine the columns of the error, the resume time, the follow-ups and the skip rule."""
    derived = {
        "error": describe_error(row["error_class"], row["error_message"], row["error_code"]),
        "skipped_because": {"rule": row["skipped_rule"], "detail": row["skipped_detail"]}
        if row["skipped_rule"]
        else None,
        "follow_up": {
            "count": row["follow_up_count"],
            "max": row["follow_up_max"],
            "next_check_at": row["due_at"] if row["waiting_for"] == "follow_up" else None,
        },
        "resume_at": row["due_at"] if row["status"] == "waiting" and row["stage"] != "failed" else None,
    }
    return cast(ExecutionItem, {name: value for name, value in row.items() if name in _COMMON} | derived)


def describe_error(error_class: str | None, message: str | None, code: str | None = None) -> ErrorDescription | None:
    """Describe an error for display; None without one."""
    if error_class is None:
        return None
    error_type = BY_CLASS.get(error_class)
    return {
        "class": error_class,
        "message": message,
        "code": code,
        "retryable": bool(error_type and error_type.retryable),
    }


class _MoveRow(TypedDict):
    stage: Stage
    from_ms: int
    entered_at: datetime


def _fetch_stages(execution: _Row) -> list[StageItem]:
    query = StageHistory.select(StageHistory.stage, StageHistory.from_ms, StageHistory.entered_at)
    moves = query.where(StageHistory.execution_id == execution["id"]).order_by(StageHistory.entered_at)
    stages: list[StageItem] = [
        {"stage": "queued", "entered_at": execution["created_at"], "left_at": None, "duration_ms": None}
    ]
    for move in fetch(_MoveRow, moves):
        stages[-1]["left_at"], stages[-1]["duration_ms"] = move["entered_at"], move["from_ms"]
        stages.append({"stage": move["stage"], "entered_at": move["entered_at"], "left_at": None, "duration_ms": None})
    return stages


def _fetch_steps(execution_id: str) -> list[StepItem]:
    query = Step.select(
        Step.step_id.alias("id"), Step.round, Step.action, Step.status, Step.attempts, Step.started_at,
        Step.finished_at, Step.execution_time_ms, Step.output, Step.error, Step.failures,
    )  # fmt: skip
    order = (Step.round, Step.started_at.asc(nulls="last"), Step.step_id)
    return fetch(StepItem, query.where(Step.execution_id == execution_id).order_by(*order))


def _fetch_messages(execution_id: str) -> list[MessageItem]:
    detail = Message.detail
    query = Message.select(
        Message.id, Message.step_id, Message.round, Message.channel, Message.to_address.alias("to"), Message.subject,
        Message.body, Message.body_length, Message.format,
        Message.status, Message.provider, Message.sandbox, Message.provider_message_id,
        Message.send_at, Message.sent_at, Message.generation_ms, Message.error_class, Message.error_message,
        Message.created_at, fn.least(Message.look_up_at, Message.look_up_requested_at).alias("next_look_up_at"),
        Message.look_up_log.alias("lookups"), detail.extract_text("way").alias("way"),
        detail.extract_text("shortenedFrom").cast("integer").alias("shortened_from"),
        fn.coalesce(detail.extract("buttons"), SQL("'[]'")).alias("buttons"),
        fn.coalesce(detail.extract("quickReplies"), SQL("'[]'")).alias("quick_replies"),
    )  # fmt: skip
    rows = fetch(_MessageRow, query.where(Message.execution_id == execution_id).order_by(Message.id))
    links = _fetch_links(execution_id)
    return [{**row, "links": links.get(row["id"], []), "segments": _count_segments(row)} for row in rows]


def _count_segments(message: _MessageRow) -> int | None:
    return sms_text.measure(message["body"]).segments if message["channel"] == "sms" else None


class _LinkRow(LinkItem):
    message_id: str


def _fetch_links(execution_id: str) -> dict[str, list[LinkItem]]:
    """Return the counted links of an execution's messages, by message."""
    query = (
        MessageLink.select(MessageLink.message_id, MessageLink.url, MessageLink.clicked_at)
        .join(Message, on=Message.id == MessageLink.message_id)
        .where(Message.execution_id == execution_id)
        .order_by(MessageLink.message_id, MessageLink.position)
    )
    links: dict[str, list[LinkItem]] = {}
    for row in fetch(_LinkRow, query):
        links.setdefault(row["message_id"], []).append({"url": row["url"], "clicked_at": row["clicked_at"]})
    return links
