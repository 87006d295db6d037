"""Reads anew what others may have changed since an execution was claimed: its contact, suppressions, pauses and fence.

One statement with the columns of the claim, written by hand and prepared as the claim is (`claim_and_record` says
why): it runs once for each message, and planning it took 1.1 of its 1.4 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from models.engine.rows import BreakerRow, PauseRow, parse_breakers, parse_pauses
from models.prepared import PreparedStatement
from models.queries import fetch_first
from rules.scope import CONTACT


class CurrentFacts(TypedDict):
    """The columns of a claimed row that others change while the execution runs."""

    fence: int
    contact_id: str | None
    contact: dict[str, Any] | None
    suppressed: list[str]
    pauses: list[PauseRow]
    breakers: list[BreakerRow]
    automation_paused: bool
    automation_enabled: bool
    automation_deleted: bool
    follow_ups_stopped: dict[str, Any] | None


_SELECT = PreparedStatement(
    "read_current_facts",
    ("bytea[]", "uuid"),
    """
select e.fence, e.contact_id,
    -- Apart: a planner that believes contacts to be empty would join all of them.
    (select jsonb_build_object({contact}) from contacts ct where ct.id = e.contact_id and ct.deleted_at is null)
        as contact,
    -- Erased addresses are known by their hashes alone.
    array(select su.channel from suppressed_channels(e.workspace_id, e.contact_id) su
        union select sa.channel from suppressed_addresses sa
        where sa.workspace_id = e.workspace_id and sa.address_hash = any(%s)) as suppressed,
    (select coalesce(jsonb_agg(jsonb_build_object('kind', p.kind, 'name', p.name, 'reason', p.reason,
            'retry_at', p.retry_at, 'draining', p.draining)), '[]')
        from pauses p where p.workspace_id = e.workspace_id) as pauses,
    (select coalesce(jsonb_agg(jsonb_build_object('provider', b.provider, 'opened_at', b.opened_at,
            'probe_at', b.probe_at, 'probed_by', b.probed_by)), '[]')
        from provider_breakers b where b.workspace_id = e.workspace_id) as breakers,
    a.paused_at is not null as automation_paused, a.enabled as automation_enabled,
    a.deleted_at is not null as automation_deleted, e.follow_ups_stopped
from executions e
join automations a on a.id = e.automation_id
where e.id = %s
""".format(contact=", ".join(map("'{0}', ct.{0}".format, CONTACT))),
)


def fetch_current_facts(execution_id: str, address_hashes: Sequence[bytes]) -> CurrentFacts | None:
    """Return the facts as they are now; None if there is no such execution.

    `address_hashes` are those of the contact's addresses as they are known.
    """
    facts = fetch_first(CurrentFacts, _SELECT, (list(address_hashes), execution_id))
    if facts is not None:
        facts["pauses"] = parse_pauses(facts["pauses"])  # type: ignore[arg-type]
        facts["breakers"] = parse_breakers(facts["breakers"])  # type: ignore[arg-type]
    return facts
