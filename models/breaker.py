"""The circuit breakers of providers: what a call did to one, who probes an open one, and what waits for it.

A breaker is a row from the first time-out to the next answer. `rules.breaker` decides; here its row is locked, so that
processes change it one after another, and PostgreSQL's clock tells the time. The caller acts as the workspace, or as
the service.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, TypedDict

import peewee

from models.engine.rows import DueRow
from models.expressions import all_of, now
from models.queries import execute, fetch, fetch_first
from models.tables import ProviderBreaker
from rules.breaker import CLOSED, Breaker, CallResult, apply_result, begin_probe


class BreakerChange(NamedTuple):
    """A breaker before and after a call."""

    before: Breaker
    after: Breaker


class OpenBreakerRow(TypedDict):
    """An open breaker of a workspace."""

    provider: str
    timeouts: int
    opened_at: datetime
    probe_at: datetime


class _LockedRow(TypedDict):
    timeouts: int
    opened_at: datetime | None
    probe_at: datetime | None
    probed_by: str | None
    read_at: datetime


def record_result(
    workspace_id: str, provider: str, result: CallResult, execution_id: str, *, began_open: bool
) -> BreakerChange:
    """Apply the result of an execution's call in this transaction; return what it changed.

    `began_open` says that the breaker was open when the call was let through.
    """
    row = _lock(workspace_id, provider)
    if row is None and result == "timed_out":
        if _insert(workspace_id, provider):
            return BreakerChange(CLOSED, Breaker(timeouts=1))
        # Another call timed out at the same time.
        row = _lock(workspace_id, provider)
    if row is None:
        return BreakerChange(CLOSED, CLOSED)
    before = _build(row)
    after = apply_result(before, result, execution_id, row["read_at"], began_open=began_open)
    _store(workspace_id, provider, after)
    return BreakerChange(before, after)


def take_probe(workspace_id: str, provider: str, execution_id: str) -> bool:
    """Make the execution's next call the probe of an open breaker, if one is due; return whether it may call.

    It may also where the breaker has closed meanwhile.
    """
    row = _lock(workspace_id, provider)
    if row is None or row["opened_at"] is None:
        return True
    probing = begin_probe(_build(row), execution_id, row["read_at"])
    if probing is not None:
        _store(workspace_id, provider, probing)
    return probing is not None


def _is(workspace_id: str, provider: str) -> peewee.Expression:
    return all_of(ProviderBreaker.workspace_id == workspace_id, ProviderBreaker.provider == provider)


def _lock(workspace_id: str, provider: str) -> _LockedRow | None:
    query = ProviderBreaker.select(
        ProviderBreaker.timeouts, ProviderBreaker.opened_at, ProviderBreaker.probe_at, ProviderBreaker.probed_by,
        now().alias("read_at"),
    )  # fmt: skip
    return fetch_first(_LockedRow, query.where(_is(workspace_id, provider)).for_update())


def _build(row: _LockedRow) -> Breaker:
    return Breaker(row["timeouts"], row["opened_at"], row["probe_at"], row["probed_by"])


def _insert(workspace_id: str, provider: str) -> bool:
    insertion = ProviderBreaker.insert(workspace_id=workspace_id, provider=provider, timeouts=1)
    return bool(execute(insertion.on_conflict_ignore()))


def _store(workspace_id: str, provider: str, breaker: Breaker) -> None:
    if breaker == CLOSED:
        execute(ProviderBreaker.delete().where(_is(workspace_id, provider)))
        return
    changes = {
        "timeouts": breaker.timeouts, "opened_at": breaker.opened_at, "probe_at": breaker.probe_at,
        "probed_by": breaker.probed_by,
    }  # fmt: skip
    execute(ProviderBreaker.update(**changes).where(_is(workspace_id, provider)))


def list_open(workspace_id: str) -> list[OpenBreakerRow]:
    """Return a workspace's open breakers, oldest first."""
    query = ProviderBreaker.select(
        ProviderBreaker.provider, ProviderBreaker.timeouts, ProviderBreaker.opened_at, ProviderBreaker.probe_at
    ).where(ProviderBreaker.workspace_id == workspace_id, ProviderBreaker.opened_at.is_null(False))
    return fetch(OpenBreakerRow, query.order_by(ProviderBreaker.opened_at))


# Written by hand: peewee has no lateral join of a locking query.
_WAKE = """
    with target as materialized ({target})
    update executions e set due_at = beckon_now(), rung_at = beckon_now(), waiting_for = 'time'
    -- The ids twice: a planner that believes the table to be empty would join all of it with the target.
    from target where e.id = any(array(select id from target)) and e.id = target.id
    returning e.id, e.queue, e.workspace_id
"""
# Whether nothing else holds an execution, so that it would call its provider.
_MAY_PROBE = """
    not e.test
    and exists (select from automations a where a.id = e.automation_id and a.paused_at is null)
    and not exists (select from pauses p where p.workspace_id = e.workspace_id
        and (p.kind, p.name) in (('queue', e.queue), ('provider', e.provider)))
"""
_WAKE_PROBES = _WAKE.format(
    target="""
    select w.id from provider_breakers b cross join lateral (
        select e.id from executions e
        where e.workspace_id = b.workspace_id and e.provider = b.provider
            and e.status = 'waiting' and e.waiting_for = 'provider' and """
    + _MAY_PROBE
    + """
        order by e.id limit 1 for update skip locked
    ) w where b.probe_at <= beckon_now()
"""
)
_WAKE_ANSWERED = _WAKE.format(
    target="""
    select e.id from executions e
    where e.status = 'waiting' and e.waiting_for = 'provider'
        -- What waits for a thread is due sooner, by itself.
        and e.due_at > beckon_now() + interval '1 minute' and not exists (
        select from provider_breakers b
        where b.workspace_id = e.workspace_id and b.provider = e.provider and b.opened_at is not null)
    order by e.id limit %s for update skip locked
"""
)
_WAKE_ALL = _WAKE.format(
    target="""
    select e.id from executions e
    where e.workspace_id = %s and e.provider = %s and e.status = 'waiting' and e.waiting_for = 'provider'
    order by e.id for update
"""
)


def wake_probes() -> list[DueRow]:
    """Make the oldest execution due that waits for each open breaker whose probe is due, and that no pause holds.

    Returns them, to notify.
    """
    return fetch(DueRow, _WAKE_PROBES)


def wake_answered(limit: int) -> list[DueRow]:
    """Make executions due that wait for a breaker which is no longer open; return those to notify."""
    return fetch(DueRow, _WAKE_ANSWERED, (limit,))


def close(workspace_id: str, provider: str) -> list[DueRow]:
    """Forget the time-outs of a provider; return the executions that continue."""
    execute(ProviderBreaker.delete().where(_is(workspace_id, provider)))
    return fetch(DueRow, _WAKE_ALL, (workspace_id, provider))


def request_probe(workspace_id: str, provider: str) -> list[DueRow] | None:
    """Let one call through an open breaker now; return the execution that makes it, to notify.

    The list is empty where none waits: the next call is the probe. None where the breaker is not open.
    """
    is_open = _is(workspace_id, provider) & ProviderBreaker.opened_at.is_null(False)
    if not execute(ProviderBreaker.update(probe_at=now(), probed_by=None).where(is_open)):
        return None
    return fetch(DueRow, _WAKE_FIRST, (workspace_id, provider))


_WAKE_FIRST = _WAKE.format(
    target="""
    select e.id from executions e
    where e.workspace_id = %s and e.provider = %s and e.status = 'waiting' and e.waiting_for = 'provider'
        and """
    + _MAY_PROBE
    + """
    order by e.id limit 1 for update skip locked
"""
)
