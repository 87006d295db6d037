"""Effects of a recorded step on other rows, applied in the same commit, so that each happens exactly once.

The statements are written by hand, because the one thread that commits for all others runs them, for each execution
alone and while its transaction holds locks. Building these as expressions was measured at 0.2 to 0.3 ms of processor
time each, as much as that thread spends on everything else of an execution (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from models import suppression
from models.conversation import REPLY_KINDS
from models.engine.limits import ALL_CONTACTS
from models.engine.records import (
    ChangeContact,
    CreateTask,
    DetectReply,
    Effect,
    PauseProvider,
    ReleaseLimitReservation,
    ResumeProvider,
    StoreLinks,
    Suppress,
)
from models.ids import new_id
from rules.contacts import MAX_ATTRIBUTES_BYTES, MAX_TAGS
from rules.json_text import dump_json

#: The contact of an effect, or the one that it was merged into since the claim.
_CONTACT = "(select coalesce(o.merged_into, o.id) from contacts o where o.id = {})"
_TAGS = """(
    select coalesce(array_agg(distinct tag), '{}') from unnest(tags || %(add_tags)s::text[]) as tag
    where tag <> all(%(remove_tags)s::text[])
)"""
_ATTRIBUTES = """coalesce((
    select jsonb_object_agg(key, item) from jsonb_each(attributes || %(attributes)s::jsonb) as e(key, item)
    where item <> 'null'::jsonb
), '{}')"""
# The step compared its change with the contact that it had read. Another execution may have added to it since: the
# limits hold for the row as it is once it is locked (`rules.contact_limits`).
_CHANGE_CONTACT = """
    update contacts set tags = {tags}, attributes = {attributes}, updated_at = beckon_now()
    where id = {contact} and cardinality({tags}) <= greatest(%(max_tags)s, cardinality(tags))
        and octet_length({attributes}::text) <= greatest(%(max_bytes)s, octet_length(attributes::text))
""".format_map({"tags": _TAGS, "attributes": _ATTRIBUTES, "contact": _CONTACT.format("%(contact_id)s")})
_SKIP_CHANGE = """
    update steps set status = 'skipped', output = output || %s::jsonb
    where execution_id = %s and step_id = %s and round = %s and exists (select from contacts where id = %s)
"""
#: The output of a step whose change would have brought the contact over a limit.
_EXCESS = {
    "addedTags": [], "removedTags": [], "set": {},
    "skipped": {
        "rule": "contact_limit",
        "words": "The contact was not changed: other executions have added to it since, and it would have more than"
        f" {MAX_TAGS} tags or {MAX_ATTRIBUTES_BYTES // 1024} KiB of attributes.",
    },
}  # fmt: skip

_CREATE_TASK = """
    insert into contact_tasks (id, workspace_id, contact_id, execution_id, step_id, title, assignee, due_at)
    select %s, workspace_id, {}, id, %s, %s, %s, beckon_now() + make_interval(secs => %s)
    from executions where id = %s
""".format(_CONTACT.format("%s"))

_RELEASE_LIMIT_RESERVATION = """
    with released as (
        delete from limit_reservations where execution_id = %s and round = %s
        returning automation_id, contact_id, day
    )
    update limit_counts c set count = c.count - 1 from released r
    where c.automation_id = r.automation_id and c.day = r.day and c.contact_id in (r.contact_id, %s)
"""

_PAUSE_PROVIDER = """
    insert into pauses (id, workspace_id, kind, name, reason, message, credentials_fingerprint, retry_at)
    select %s, workspace_id, 'provider', %s, 'configuration', %s, %s, beckon_now() + make_interval(secs => %s)
    from executions where id = %s
    on conflict (workspace_id, kind, name) do update set
        message = excluded.message, credentials_fingerprint = excluded.credentials_fingerprint,
        retry_at = excluded.retry_at
    where pauses.reason = 'configuration'
"""

# What waits for it is resumed by `end_resolved_pauses`: this transaction locks the rows of its own executions alone.
_RESUME_PROVIDER = """
    delete from pauses p using executions e
    where e.id = %s and p.workspace_id = e.workspace_id and p.kind = 'provider' and p.name = %s
        and p.reason = 'configuration'
"""

# A callback that stores a reply locks the contact and wakes waiting executions. This one did not wait yet, so it takes
# the same lock and looks for the reply itself.
_LOCK_CONTACT = "select coalesce(merged_into, id) from contacts where id = %s for share"
_END_WAIT_IF_REPLIED = """
    update executions set event_at = beckon_now(), due_at = beckon_now() + interval '1 millisecond'
    where id = %s and status = 'waiting' and waiting_for = 'event' and exists (
        select 1 from received_messages
        where contact_id = %s and created_at > %s and kind = any(%s) and deleted_at is null)
"""

_STORE_LINKS = """
    insert into message_links (token, workspace_id, message_id, position, url)
    select l.token, m.workspace_id, m.id, l.position, l.url
    from messages m, unnest(%s::text[], %s::text[]) with ordinality l(token, url, position) where m.id = %s
"""


def apply(cursor: Any, execution_id: str, effects: Sequence[Effect]) -> None:
    """Apply each effect of one execution with the caller's cursor, inside the caller's transaction."""
    for effect in effects:
        _apply(effect, cursor, execution_id)


@singledispatch
def _apply(effect: object, cursor: Any, execution_id: str) -> None:
    raise TypeError(f"unknown effect: {effect!r}")


@_apply.register
def _(effect: ChangeContact, cursor: Any, execution_id: str) -> None:
    change = {
        **vars(effect), "attributes": dump_json(effect.attributes),
        "max_tags": MAX_TAGS, "max_bytes": MAX_ATTRIBUTES_BYTES,
    }  # fmt: skip
    cursor.execute(_CHANGE_CONTACT, change)
    if not cursor.rowcount:
        step = (execution_id, effect.step_id, effect.round, effect.contact_id)
        cursor.execute(_SKIP_CHANGE, (dump_json(_EXCESS), *step))


@_apply.register
def _(effect: CreateTask, cursor: Any, execution_id: str) -> None:
    cursor.execute(
        _CREATE_TASK,
        (effect.id, effect.contact_id, effect.step_id, effect.title, effect.assignee, effect.due_in_seconds,
         execution_id),
    )  # fmt: skip


@_apply.register
def _(effect: Suppress, cursor: Any, execution_id: str) -> None:
    suppression.add_for_execution(
        cursor, effect.workspace_id, effect.contact_id, effect.channel, effect.address, effect.reason
    )


@_apply.register
def _(effect: ReleaseLimitReservation, cursor: Any, execution_id: str) -> None:
    cursor.execute(_RELEASE_LIMIT_RESERVATION, (execution_id, effect.round, ALL_CONTACTS))


@_apply.register
def _(effect: PauseProvider, cursor: Any, execution_id: str) -> None:
    cursor.execute(
        _PAUSE_PROVIDER,
        (new_id(), effect.provider, effect.message, effect.fingerprint, effect.retry_in_seconds, execution_id),
    )


@_apply.register
def _(effect: ResumeProvider, cursor: Any, execution_id: str) -> None:
    cursor.execute(_RESUME_PROVIDER, (execution_id, effect.provider))


@_apply.register
def _(effect: DetectReply, cursor: Any, execution_id: str) -> None:
    cursor.execute(_LOCK_CONTACT, (effect.contact_id,))
    for (contact_id,) in cursor.fetchall():
        cursor.execute(_END_WAIT_IF_REPLIED, (execution_id, contact_id, effect.since, sorted(REPLY_KINDS)))


@_apply.register
def _(effect: StoreLinks, cursor: Any, execution_id: str) -> None:
    tokens, urls = list(effect.urls_by_token), list(effect.urls_by_token.values())
    cursor.execute(_STORE_LINKS, (tokens, urls, effect.message_id))
