"""Finds the automatic message that an event of a contact answers, and the depth of the event that led to it."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from models.queries import fetch_first

# By hand: the messages that were sent and those on their way are found by an index each.
_FIND_DEPTH = """
    select coalesce(t.loop_depth, 0) as depth
    from (
        select execution_id, sending_at, provider_message_id, to_address from messages
        where contact_id = %(contact)s and sent_at >= %(since)s and sending_at <= %(until)s
            and channel = %(channel)s and not test
        union all
        select m.execution_id, m.sending_at, null, m.to_address
        from executions e join messages m on m.execution_id = e.id
        where e.contact_id = %(contact)s and e.status = 'running' and m.status = 'sending'
            and m.sending_at between %(since)s and %(until)s and m.channel = %(channel)s and not m.test
    ) m
    join executions e on e.id = m.execution_id
    join triggers t on t.id = e.trigger_id
    where (%(message)s::text is null or coalesce(m.provider_message_id, %(message)s) = %(message)s)
        and (%(thread)s::text is null or %(thread)s in (
            m.provider_message_id, m.to_address, t.payload #>> '{comment,parent_id}'))
    order by m.sending_at desc limit 1
"""


class _DepthRow(TypedDict):
    depth: int


def find_depth(
    contact_id: str,
    channel: str,
    since: datetime,
    until: datetime,
    *,
    message_id: str | None = None,
    thread_id: str | None = None,
) -> int | None:
    """Return the depth of the newest message to the contact whose send began between two times; None without one.

    `message_id` is the provider's id of the only message that counts, unless that is not recorded yet; `thread_id` is
    the comment in whose thread it stands.
    """
    parameters = {
        "contact": contact_id, "channel": channel, "since": since, "until": until, "message": message_id,
        "thread": thread_id,
    }  # fmt: skip
    row = fetch_first(_DepthRow, _FIND_DEPTH, parameters)
    return None if row is None else row["depth"]
