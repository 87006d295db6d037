"""Executions for display: a page of the list, and one with its stages, steps and messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.database import Row, acting_as, fetch_row, fetch_rows, fetch_value
from models.reports.filters import ExecutionFilters
from rules.errors import BY_CLASS

_COLUMNS = """
    e.id, e.automation_id, a.name automation_name, e.version, e.contact_id,
    coalesce(nullif(trim(concat_ws(' ', c.first_name, c.last_name)), ''), c.username, c.email, c.phone, c.external_id)
        contact_name,
    e.status, e.stage, e.stage_since, e.test, e.attempt, e.error_class, e.error_message, e.error_code,
    e.next_retry_at, e.due_at, e.waiting_for, e.skipped_rule, e.skipped_detail,
    e.round, e.follow_up_count, e.follow_up_ended_because,
    coalesce((v.definition #>> '{rules,follow_ups,max}')::numeric::integer, 0) follow_up_max,
    e.created_at, e.started_at, e.finished_at, e.execution_time_ms
"""
_JOINS = """
    join automations a on a.id = e.automation_id left join contacts c on c.id = e.contact_id
    left join workflow_versions v on v.id = e.version_id
"""


#: The newest executions searched for words before the contacts are searched.
_SCAN_LIMIT = 5000
#: The most matching contacts whose executions are collected and sorted.
_MAX_CONTACTS = 2000
_CONTACT_MATCHES = (
    "(select c.search @@ to_tsquery('simple', %s) or c.email = lower(%s) or c.phone = %s "
    "from contacts c where c.id = e.contact_id)"
)


def fetch_page(workspace_id: str, filters: ExecutionFilters, limit: int, before: str | None = None) -> list[Row]:
    """Return at most `limit` executions, newest first, older than the one with id `before`."""
    with acting_as(workspace_id):
        if filters.words is None:
            rows = _fetch_page(*_build_query(workspace_id, filters, before), limit)
        else:
            rows = _fetch_page_by_words(workspace_id, filters, limit, before)
    return [_add_derived_fields(row) for row in rows]


def _build_query(workspace_id: str, filters: ExecutionFilters, before: str | None) -> tuple[str, list[Any]]:
    where, parameters = filters.build_where()
    if before is not None:
        where, parameters = f"{where} and e.id < %s", [*parameters, before]
    return f"select e.* from executions e where e.workspace_id = %s and {where}", [workspace_id, *parameters]


def _fetch_page(query: str, parameters: list[Any], limit: int) -> list[Row]:
    # The joins run only for the executions of the page.
    return fetch_rows(
        f"select {_COLUMNS} from ({query} order by e.id desc limit %s) e {_JOINS} order by e.id desc",
        [*parameters, limit],
    )


def _fetch_page_by_words(workspace_id: str, filters: ExecutionFilters, limit: int, before: str | None) -> list[Row]:
    """Return a page of executions whose contacts have these words in their names and addresses.

    Common words are found among the newest executions. Else the contacts are searched: the executions of a few are
    collected and sorted; if many match, the executions are scanned, newest first, until the page is full.
    """
    words, q = filters.words, (filters.q or "").strip()
    query, parameters = _build_query(workspace_id, replace(filters, q=None), before)
    newest = f"select e.* from ({query} order by e.id desc limit {_SCAN_LIMIT}) e where {_CONTACT_MATCHES}"
    rows = _fetch_page(newest, [*parameters, words, q, q], limit)
    if len(rows) == limit:
        return rows
    contacts = fetch_value(
        "select array(select find_matching_contacts(to_tsquery('simple', %s), %s, %s))", (words, q, _MAX_CONTACTS + 1)
    )
    if len(contacts) > _MAX_CONTACTS:
        return _fetch_page(f"{query} and {_CONTACT_MATCHES}", [*parameters, words, q, q], limit)
    # Without `offset 0` PostgreSQL might scan all executions for a page that is never full.
    return _fetch_page(
        f"select e.* from ({query} and e.contact_id = any(%s::uuid[]) offset 0) e", [*parameters, contacts], limit
    )


def fetch_detail(workspace_id: str, execution_id: str) -> Row | None:
    """Return one execution with `stages`, `steps` and `messages`, oldest first; None if the workspace has none."""
    with acting_as(workspace_id):
        row = fetch_row(
            f"select {_COLUMNS} from executions e {_JOINS} where e.workspace_id = %s and e.id = %s",
            (workspace_id, execution_id),
        )
        if row is None:
            return None
        return {
            **_add_derived_fields(row),
            "stages": _fetch_stages(row),
            "steps": _fetch_steps(execution_id),
            "messages": _fetch_messages(execution_id),
        }


def fetch_background(workspace_id: str, execution_id: str) -> Row | None:
    """Return an execution's `trigger_type`, `trigger_source`, `idempotency_key` and `payload`, the `definition` of its
    version, and the contact's `email`, `phone` and `timezone`; None if there is no such execution."""
    with acting_as(workspace_id):
        return fetch_row(
            "select t.type trigger_type, t.source trigger_source, t.idempotency_key, t.payload, v.definition, "
            "c.email, c.phone, c.timezone from executions e left join triggers t on t.id = e.trigger_id "
            "left join workflow_versions v on v.id = e.version_id left join contacts c on c.id = e.contact_id "
            "where e.workspace_id = %s and e.id = %s",
            (workspace_id, execution_id),
        )


def _add_derived_fields(row: Row) -> Row:
    """Combine the columns of the error, the resume time, the follow-ups and the skip rule."""
    error_class, rule = row.pop("error_class"), row.pop("skipped_rule")
    message, code, explanation = row.pop("error_message"), row.pop("error_code"), row.pop("skipped_detail")
    due_at = row.pop("due_at")
    row["error"] = error_class and describe_error(error_class, message, code)
    row["skipped_because"] = rule and {"rule": rule, "detail": explanation}
    row["follow_up"] = {
        "count": row.pop("follow_up_count"),
        "max": row.pop("follow_up_max"),
        "nextCheckAt": due_at if row["waiting_for"] == "follow_up" else None,
    }
    row["resume_at"] = due_at if row["status"] == "waiting" and row["stage"] != "failed" else None
    return row


def describe_error(error_class: str, message: str | None, code: str | None = None) -> dict[str, Any]:
    """Format an error for display: class, message, the provider's code, and whether it is retried automatically."""
    error_type = BY_CLASS.get(error_class)
    return {
        "class": error_class,
        "message": message,
        "code": code,
        "retryable": bool(error_type and error_type.retryable),
    }


def _fetch_stages(execution: Row) -> list[Row]:
    """Return each stage with the times it was entered and left; the current one has no `left_at`."""
    moves = fetch_rows(
        "select stage, from_ms, entered_at from stage_history where execution_id = %s order by entered_at",
        (execution["id"],),
    )
    stages: list[Row] = [
        {"stage": "queued", "entered_at": execution["created_at"], "left_at": None, "duration_ms": None}
    ]
    for move in moves:
        stages[-1].update(left_at=move["entered_at"], duration_ms=move["from_ms"])
        stages.append({"stage": move["stage"], "entered_at": move["entered_at"], "left_at": None, "duration_ms": None})
    return stages


def _fetch_steps(execution_id: str) -> list[Row]:
    return fetch_rows(
        "select step_id id, round, action, status, attempts, started_at, finished_at, execution_time_ms, output, "
        "error, failures from steps where execution_id = %s order by round, started_at nulls last, step_id",
        (execution_id,),
    )


def _fetch_messages(execution_id: str) -> list[Row]:
    return fetch_rows(
        'select id, step_id, round, channel, to_address "to", subject, body, format, status, provider, sandbox, '
        "provider_message_id, send_at, sent_at, generation_ms, error_class, error_message, created_at, "
        "detail->>'way' as way, (detail->>'shortenedFrom')::integer as shortened_from, "
        "coalesce(detail->'buttons', '[]') as buttons, coalesce(detail->'quickReplies', '[]') as quick_replies "
        "from messages where execution_id = %s order by id",
        (execution_id,),
    )
