"""Removes texts of messages past their retention; their length and their SHA-256 stay.

The texts of an execution are removed once it is finished for as long: of its messages, and what a model wrote in its
steps. An execution in flight needs them, and so does a failed one, which can be retried: retention removes it as a
whole. A workspace notes up to which end of an execution it has come, so each is read once.

The statements are written by hand: each removes from several tables what one index finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from models.database import transaction
from models.queries import execute, fetch, fetch_first

#: Unless the workspace keeps them for less.
KEEP_TEXT_DAYS = 90
#: Executions, or received messages, of one transaction.
BATCH_SIZE = 1_000
#: Batches in one run; the next run continues.
MAX_BATCHES = 50

# Without the workspaces that are done, whose cut-off moves on by the hour.
_LIST_DUE = """
    select w.id from workspaces w where exists (
        select from executions e
        where e.workspace_id = w.id and e.finished_at > coalesce(w.texts_removed_until, '-infinity')
            and e.finished_at < beckon_now() - make_interval(days => coalesce(w.keep_text_days, %(days)s)))
    order by w.id
"""
_REMOVE_OF_EXECUTIONS = """
    with old as materialized (
        select e.id, e.status, e.finished_at from workspaces w cross join lateral (
            select o.id, o.status, o.finished_at from executions o
            where o.workspace_id = w.id and o.finished_at > coalesce(w.texts_removed_until, '-infinity')
                and o.finished_at < beckon_now() - make_interval(days => coalesce(w.keep_text_days, %(days)s))
            order by o.finished_at fetch first %(batch)s rows with ties
        ) e where w.id = %(workspace)s
    ), written as (
        update messages m set body = '', subject = null, body_length = char_length(m.body),
            body_hash = sha256(convert_to(m.body, 'UTF8')), detail = m.detail - array['buttons', 'quickReplies']
        from old where m.execution_id = old.id and old.status <> 'failed' and m.body_length is null
            and m.status not in ('pending', 'review', 'sending', 'outcome_unknown') and m.body <> ''
        returning m.id
    ), generated as (
        update steps s set output = (s.output - 'text') || jsonb_build_object(
            'textLength', char_length(s.output ->> 'text'),
            'textHash', encode(sha256(convert_to(s.output ->> 'text', 'UTF8')), 'hex'))
        from old where s.execution_id = old.id and old.status <> 'failed' and s.action = 'generate_message'
            and s.output ? 'text'
    ), passed as (
        update workspaces set texts_removed_until = (select max(finished_at) from old)
        where id = %(workspace)s and exists (select from old)
    )
    select (select count(*) from old) as executions, (select count(*) from written) as messages
"""
_REMOVE_RECEIVED = """
    update received_messages r set text = null, text_length = char_length(r.text),
        text_hash = sha256(convert_to(r.text, 'UTF8'))
    where r.id = any(array(
        select o.id from workspaces w cross join lateral (
            select m.id from received_messages m
            where m.workspace_id = w.id and m.text is not null
                and m.at < beckon_now() - make_interval(days => coalesce(w.keep_text_days, %(days)s))
            order by m.at limit %(batch)s
        ) o limit %(batch)s))
"""


class _WorkspaceRow(TypedDict):
    id: str


class _RemovedRow(TypedDict):
    executions: int
    messages: int


def remove_expired() -> dict[str, int]:
    """Remove the texts past their retention, in batches of their own; return the counts by kind."""
    with transaction():
        due = [row["id"] for row in fetch(_WorkspaceRow, _LIST_DUE, {"days": KEEP_TEXT_DAYS})]
    return {
        "texts": sum(_remove_of_workspace(workspace_id) for workspace_id in due),
        "received_texts": _repeat(_remove_received),
    }


def _remove_of_workspace(workspace_id: str) -> int:
    texts = 0
    parameters = {"workspace": workspace_id, "days": KEEP_TEXT_DAYS, "batch": BATCH_SIZE}
    for _ in range(MAX_BATCHES):
        with transaction():
            removed = fetch_first(_RemovedRow, _REMOVE_OF_EXECUTIONS, parameters)
        assert removed is not None
        texts += removed["messages"]
        if removed["executions"] < BATCH_SIZE:
            break
    return texts


def _remove_received() -> int:
    return execute(_REMOVE_RECEIVED, {"days": KEEP_TEXT_DAYS, "batch": BATCH_SIZE})


def _repeat(remove: Callable[[], int]) -> int:
    total = 0
    for _ in range(MAX_BATCHES):
        with transaction():
            removed = remove()
        total += removed
        if removed < BATCH_SIZE:
            break
    return total
