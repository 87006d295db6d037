"""Executions as people see them: a page of the list, and one with its whole story."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.database import Row, acting_as, row, rows, value
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
_JOINED = """
    join automations a on a.id = e.automation_id left join contacts c on c.id = e.contact_id
    left join workflow_versions v on v.id = e.version_id
"""


#: So many of the newest executions are looked through for words before the contacts are asked.
_NEWEST = 5000
#: Of at most so many contacts the executions are gathered.
_FEW_CONTACTS = 2000
_HAS_THEM = (
    "(select c.search @@ to_tsquery('simple', %s) or c.email = lower(%s) or c.phone = %s "
    "from contacts c where c.id = e.contact_id)"
)


def page(workspace_id: str, filters: ExecutionFilters, limit: int, before: str | None = None) -> list[Row]:
    """At most `limit` executions, newest first, older than the one with id `before`."""
    with acting_as(workspace_id):
        if filters.words is None:
            found = _page(*_matching(workspace_id, filters, before), limit)
        else:
            found = _page_by_words(workspace_id, filters, limit, before)
    return [_explained(one) for one in found]


def _matching(workspace_id: str, filters: ExecutionFilters, before: str | None) -> tuple[str, list[Any]]:
    where, parameters = filters.where()
    if before is not None:
        where, parameters = f"{where} and e.id < %s", [*parameters, before]
    return f"select e.* from executions e where e.workspace_id = %s and {where}", [workspace_id, *parameters]


def _page(matching: str, parameters: list[Any], limit: int) -> list[Row]:
    # What else is shown of an execution is looked up for those of the page alone.
    return rows(
        f"select {_COLUMNS} from ({matching} order by e.id desc limit %s) e {_JOINED} order by e.id desc",
        [*parameters, limit],
    )


def _page_by_words(workspace_id: str, filters: ExecutionFilters, limit: int, before: str | None) -> list[Row]:
    """A page of executions whose contacts have these words in their names and addresses.

    What is common is found among the newest executions. Else the contacts are asked: the executions of a few are
    gathered and sorted; where many have the words, the rest is looked through, newest first, until the page is full.
    """
    words, q = filters.words, (filters.q or "").strip()
    others, given = _matching(workspace_id, replace(filters, q=None), before)
    newest = f"select e.* from ({others} order by e.id desc limit {_NEWEST}) e where {_HAS_THEM}"
    found = _page(newest, [*given, words, q, q], limit)
    if len(found) == limit:
        return found
    contacts = value(
        "select array(select find_matching_contacts(to_tsquery('simple', %s), %s, %s))", (words, q, _FEW_CONTACTS + 1)
    )
    if len(contacts) > _FEW_CONTACTS:
        return _page(f"{others} and {_HAS_THEM}", [*given, words, q, q], limit)
    # Without `offset 0` PostgreSQL might look through all executions for a page that is never full.
    return _page(f"select e.* from ({others} and e.contact_id = any(%s::uuid[]) offset 0) e", [*given, contacts], limit)


def detail(workspace_id: str, execution_id: str) -> Row | None:
    """One execution with `stages`, `steps` and `messages`, oldest first; None where the workspace has none such."""
    with acting_as(workspace_id):
        found = row(
            f"select {_COLUMNS} from executions e {_JOINED} where e.workspace_id = %s and e.id = %s",
            (workspace_id, execution_id),
        )
        if found is None:
            return None
        return {
            **_explained(found),
            "stages": _stages(found),
            "steps": _steps(execution_id),
            "messages": _messages(execution_id),
        }


def background(workspace_id: str, execution_id: str) -> Row | None:
    """What an execution began with and follows: `trigger_type`, `trigger_source`, `idempotency_key`, `payload`, the
    `definition` of its version, and the contact's `email`, `phone` and `timezone`; None where there is none such."""
    with acting_as(workspace_id):
        return row(
            "select t.type trigger_type, t.source trigger_source, t.idempotency_key, t.payload, v.definition, "
            "c.email, c.phone, c.timezone from executions e left join triggers t on t.id = e.trigger_id "
            "left join workflow_versions v on v.id = e.version_id left join contacts c on c.id = e.contact_id "
            "where e.workspace_id = %s and e.id = %s",
            (workspace_id, execution_id),
        )


def _explained(found: Row) -> Row:
    """The row with its error, its next time, its follow-ups and the rule that skipped it put together."""
    error_class, rule = found.pop("error_class"), found.pop("skipped_rule")
    message, code, explanation = found.pop("error_message"), found.pop("error_code"), found.pop("skipped_detail")
    due_at = found.pop("due_at")
    found["error"] = error_class and error(error_class, message, code)
    found["skipped_because"] = rule and {"rule": rule, "detail": explanation}
    found["follow_up"] = {
        "count": found.pop("follow_up_count"),
        "max": found.pop("follow_up_max"),
        "nextCheckAt": due_at if found["waiting_for"] == "follow_up" else None,
    }
    found["resume_at"] = due_at if found["status"] == "waiting" and found["stage"] != "failed" else None
    return found


def error(error_class: str, message: str | None, code: str | None = None) -> dict[str, Any]:
    """An error as people see it: class, message, the provider's code, and whether it passes by itself."""
    known = BY_CLASS.get(error_class)
    return {"class": error_class, "message": message, "code": code, "retryable": bool(known and known.retryable)}


def _stages(found: Row) -> list[Row]:
    """Each stage with when it was entered and left; the one that it stands at has not been left."""
    moves = rows(
        "select stage, from_ms, entered_at from stage_history where execution_id = %s order by entered_at",
        (found["id"],),
    )
    stages: list[Row] = [{"stage": "queued", "entered_at": found["created_at"], "left_at": None, "duration_ms": None}]
    for move in moves:
        stages[-1].update(left_at=move["entered_at"], duration_ms=move["from_ms"])
        stages.append({"stage": move["stage"], "entered_at": move["entered_at"], "left_at": None, "duration_ms": None})
    return stages


def _steps(execution_id: str) -> list[Row]:
    return rows(
        "select step_id id, round, action, status, attempts, started_at, finished_at, execution_time_ms, output, "
        "error, failures from steps where execution_id = %s order by round, started_at nulls last, step_id",
        (execution_id,),
    )


def _messages(execution_id: str) -> list[Row]:
    return rows(
        'select id, step_id, round, channel, to_address "to", subject, body, format, status, provider, sandbox, '
        "provider_message_id, send_at, sent_at, generation_ms, error_class, error_message, created_at, "
        "detail->>'way' as way, (detail->>'shortenedFrom')::integer as shortened_from, "
        "coalesce(detail->'buttons', '[]') as buttons, coalesce(detail->'quickReplies', '[]') as quick_replies "
        "from messages where execution_id = %s order by id",
        (execution_id,),
    )
