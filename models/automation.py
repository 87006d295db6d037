"""Automations, as operators create, publish, toggle and delete them.

Publishing is one transaction: a new immutable version, the pointer to it, and the next scheduled time; executions in
flight keep their version. Deletion is soft, so that history keeps its names. A caller that changes an automation
invalidates `ephemeral.workflow_cache` after the commit; this module must not import it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from peewee import fn

from models import audit, automation_schedule
from models.audit import AuditActor
from models.database import acting_as, connection
from models.errors import Conflict, InvalidDefinition, NotFound
from models.expressions import now
from models.ids import new_id
from models.queries import call, execute, fetch_first, fetch_value
from models.recent_reads import RecentReads
from models.tables import Automation, WorkflowVersion
from rules.language import AutomationType
from rules.outbound_urls import Networks
from rules.validation import validate

_MISSING = "There is no automation with that id."


@dataclass(frozen=True)
class Publication:
    """The result of a publication. `hook_token` is set only when a `hook` trigger gets its secret URL."""

    automation_id: str
    version: int
    hook_token: str | None = field(default=None, repr=False)


class _LockedRow(TypedDict):
    name: str
    type: AutomationType
    enabled: bool
    version: int
    hook_token_hash: memoryview | None
    automatic_retries: bool
    draft_saved_at: datetime | None
    draft_saved_by: str | None
    draft_source: str | None
    draft_revision: int
    draft_base_version: int | None


class SavedDraft(NamedTuple):
    """A change of the draft: its revision, and when it was saved; None once it is discarded."""

    revision: int
    saved_at: datetime | None


class _HookRow(TypedDict):
    workspace_id: str
    automation_id: str


def create(
    workspace_id: str,
    *,
    name: str,
    type: str,
    definition: Mapping[str, Any],
    actor: AuditActor,
    enabled: bool = True,
    networks: Networks = (),
    is_valid: bool = False,
    source: str | None = None,
) -> Publication:
    """Create an automation with `definition` as version 1. Raises `InvalidDefinition`, and then creates nothing.

    `source` is the text that the definition was parsed from, if it was. `networks` are the private networks that its
    URLs may reach. With `is_valid` the caller has validated it.
    """
    automation_id = new_id()
    with acting_as(workspace_id):
        execute(Automation.insert(id=automation_id, workspace_id=workspace_id, name=name, type=type, enabled=enabled))
        audit.record(workspace_id, actor, "automation.created", "automation", automation_id, {"name": name})
        return publish(
            workspace_id, automation_id, definition, actor, networks=networks, is_valid=is_valid, source=source
        )


def create_draft(
    workspace_id: str,
    *,
    name: str,
    type: str,
    draft: Mapping[str, Any] | None,
    actor: AuditActor,
    source: str | None = None,
) -> str:
    """Create an automation that is off and has a draft but no version yet; return its id. `source` is the draft's text,
    of which `draft` is None where it cannot be parsed."""
    automation_id = new_id()
    with acting_as(workspace_id):
        execute(
            Automation.insert(
                id=automation_id, workspace_id=workspace_id, name=name, type=type, enabled=False,
                draft=draft, draft_source=source, draft_saved_at=now(), draft_saved_by=actor.name, draft_revision=1,
                draft_base_version=0,
            )
        )  # fmt: skip
        audit.record(workspace_id, actor, "automation.created", "automation", automation_id, {"name": name})
    return automation_id


def publish(
    workspace_id: str,
    automation_id: str,
    definition: Mapping[str, Any],
    actor: AuditActor,
    expected_version: int | None = None,
    networks: Networks = (),
    note: str | None = None,
    is_valid: bool = False,
    source: str | None = None,
    expected_revision: int | None = None,
) -> Publication:
    """Publish `definition` as the next version and delete the draft; `note` says what it changes, `source` is the text
    that the definition was parsed from. Raises `NotFound`, `InvalidDefinition`, or `Conflict` if the current version is
    not `expected_version` or the draft's revision not `expected_revision`.

    With `is_valid` the caller has validated the definition for the automation's type, which never changes, before this
    locks the automation."""
    with acting_as(workspace_id):
        row = _lock(workspace_id, automation_id)
        if expected_version is not None and row["version"] != expected_version:
            raise Conflict(f"Version {row['version']} was published in the meantime.", "version")
        if expected_revision is not None:
            _require_revision(row, expected_revision)
        problems = [] if is_valid else validate(definition, automation_type=row["type"], networks=networks)
        if problems:
            raise InvalidDefinition(problems)
        version, version_id = row["version"] + 1, new_id()
        trigger_type = definition["trigger"]["type"]
        execute(
            WorkflowVersion.insert(
                id=version_id, workspace_id=workspace_id, automation_id=automation_id, version=version,
                definition=definition, source=source, published_by=actor.name, note=note,
            )
        )  # fmt: skip
        _update(
            workspace_id, automation_id, version=version, version_id=version_id, trigger_type=trigger_type,
            exclusive=definition.get("exclusive", True), **_build_draft(row, None, None, None, actor),
        )  # fmt: skip
        automation_schedule.renew(workspace_id, automation_id, definition)
        detail = audit.compare({"version": row["version"] or None}, {"version": version})
        audit.record(workspace_id, actor, "automation.published", "automation", automation_id, detail)
        needs_token = trigger_type == "hook" and row["hook_token_hash"] is None
        token = _set_hook_token(workspace_id, automation_id) if needs_token else None
        return Publication(automation_id, version, token)


def rename(workspace_id: str, automation_id: str, name: str, actor: AuditActor) -> None:
    """Rename an automation. Raises `NotFound`."""
    with acting_as(workspace_id):
        before = _lock(workspace_id, automation_id)["name"]
        if before == name:
            return
        _update(workspace_id, automation_id, name=name)
        detail = audit.compare({"name": before}, {"name": name})
        audit.record(workspace_id, actor, "automation.renamed", "automation", automation_id, detail)


def toggle(workspace_id: str, automation_id: str, enabled: bool, actor: AuditActor) -> None:
    """Turn an automation on or off; its schedule restarts from now. Raises `NotFound`."""
    with acting_as(workspace_id):
        before = _lock(workspace_id, automation_id)
        if before["enabled"] == enabled:
            return
        _update(workspace_id, automation_id, enabled=enabled)
        if enabled:
            automation_schedule.restart(workspace_id, automation_id)
        action = "automation.enabled" if enabled else "automation.disabled"
        detail = audit.compare({"enabled": before["enabled"]}, {"enabled": enabled})
        audit.record(workspace_id, actor, action, "automation", automation_id, detail)


def set_automatic_retries(workspace_id: str, automation_id: str, enabled: bool, actor: AuditActor) -> None:
    """Turn the automatic retries of an automation on or off: without them a step fails at its first failure. Retries
    that are already scheduled take place. Raises `NotFound`."""
    with acting_as(workspace_id):
        if _lock(workspace_id, automation_id)["automatic_retries"] == enabled:
            return
        _update(workspace_id, automation_id, automatic_retries=enabled)
        action = "automation.retries_enabled" if enabled else "automation.retries_disabled"
        audit.record(workspace_id, actor, action, "automation", automation_id)


def save_draft(
    workspace_id: str,
    automation_id: str,
    document: Mapping[str, Any] | None,
    actor: AuditActor,
    *,
    base_version: int,
    seen_draft: datetime | None,
    source: str | None = None,
) -> datetime | None:
    """Save the draft, valid or not, until the next publication; None discards it. Return when it was saved. `source`
    is its text, if it has one.

    `base_version` and `seen_draft` are the version and the time of the draft that the author started from. Raises
    `NotFound`, or `Conflict` if another version or another draft was saved since. A draft runs nothing, so it has no
    entry in the audit log.
    """
    with acting_as(workspace_id):
        row = _lock(workspace_id, automation_id)
        if row["version"] != base_version:
            raise Conflict(f"Version {row['version']} was published in the meantime.", "version")
        if row["draft_saved_at"] != seen_draft:
            raise Conflict(f"{_describe_draft(row)} in the meantime.", "draft")
        saved_at = None if document is None else fetch_value(call(now()))
        _update(workspace_id, automation_id, **_build_draft(row, document, source, saved_at, actor))
        return saved_at


def save_draft_source(
    workspace_id: str,
    automation_id: str,
    source: str,
    document: Mapping[str, Any] | None,
    actor: AuditActor,
    *,
    base_version: int,
    revision: int,
) -> SavedDraft:
    """Save the draft as the text that its author writes; `document` is None where it cannot be parsed.

    `revision` is that of the draft that the author read. Raises `NotFound`, or `Conflict` as `save_draft` does.
    """
    with acting_as(workspace_id):
        row = _lock(workspace_id, automation_id)
        if row["version"] != base_version:
            raise Conflict(f"Version {row['version']} was published in the meantime.", "baseVersion")
        if row["draft_source"] == source and row["draft_revision"] == revision + 1:
            # The answer to the same request was lost.
            return SavedDraft(row["draft_revision"], row["draft_saved_at"])
        _require_revision(row, revision)
        saved_at = fetch_value(call(now()))
        fields = _build_draft(row, document, source, saved_at, actor)
        _update(workspace_id, automation_id, **fields)
        return SavedDraft(fields["draft_revision"], saved_at)


def discard_draft(workspace_id: str, automation_id: str, actor: AuditActor, *, revision: int) -> SavedDraft:
    """Discard the draft. Raises `NotFound`, or `Conflict` if its revision is not `revision`."""
    with acting_as(workspace_id):
        row = _lock(workspace_id, automation_id)
        _require_revision(row, revision)
        fields = _build_draft(row, None, None, None, actor)
        _update(workspace_id, automation_id, **fields)
        return SavedDraft(fields["draft_revision"], None)


def _require_revision(row: _LockedRow, revision: int) -> None:
    if row["draft_revision"] != revision:
        raise Conflict(f"{_describe_draft(row)} in the meantime.", "revision")


def _describe_draft(row: _LockedRow) -> str:
    author = row["draft_saved_by"]
    return f"{author} saved another draft" if author else "The draft was discarded"


def _build_draft(
    row: _LockedRow,
    document: Mapping[str, Any] | None,
    source: str | None,
    saved_at: datetime | None,
    actor: AuditActor,
) -> dict[str, Any]:
    """Return the columns of the next revision of the draft; without `saved_at` there is none."""
    return {
        "draft": document, "draft_source": source, "draft_saved_at": saved_at,
        "draft_saved_by": None if saved_at is None else actor.name,
        # A publication without a draft changes none.
        "draft_revision": row["draft_revision"] + (saved_at is not None or row["draft_saved_at"] is not None),
        "draft_base_version": None if saved_at is None else row["version"],
    }  # fmt: skip


def renew_hook_token(workspace_id: str, automation_id: str, actor: AuditActor) -> str:
    """Issue a new token for `POST /api/hooks/{token}`; the old one stops working. Raises `NotFound`."""
    with acting_as(workspace_id):
        _lock(workspace_id, automation_id)
        audit.record(workspace_id, actor, "automation.hook_renewed", "automation", automation_id)
        return _set_hook_token(workspace_id, automation_id)


def find_hook(token: str) -> tuple[str, str] | None:
    """Return the workspace's and the automation's id for a hook's token, or None."""
    return _find_hook_by_hash(_digest(token).hex())


def find_recent_hook(token: str) -> tuple[str, str] | None:
    """Return what `find_hook` does, without a query at every request: a replaced token stops within
    `recent_reads.MAX_AGE_SECONDS`."""
    return _recent_hooks(_digest(token).hex())


def _find_hook_by_hash(token_hash: str) -> tuple[str, str] | None:
    with connection():
        row = fetch_first(_HookRow, call(fn.find_hook(bytes.fromhex(token_hash)), _HookRow))
    return None if row is None else (row["workspace_id"], row["automation_id"])


_recent_hooks = RecentReads(_find_hook_by_hash)


def delete(workspace_id: str, automation_id: str, actor: AuditActor, cancel_in_flight: Callable[[], int]) -> int:
    """Delete an automation softly and call `cancel_in_flight` in the same transaction; return the latter's result.

    Raises `NotFound`.
    """
    with acting_as(workspace_id):
        _lock(workspace_id, automation_id)
        _update(workspace_id, automation_id, deleted_at=now(), enabled=False, hook_token_hash=None)
        automation_schedule.renew(workspace_id, automation_id, None)
        cancelled = cancel_in_flight()
        audit.record(workspace_id, actor, "automation.deleted", "automation", automation_id, {"cancelled": cancelled})
        return cancelled


def _lock(workspace_id: str, automation_id: str) -> _LockedRow:
    """Return the automation's row, locked until the transaction ends: this serializes publications."""
    row = fetch_first(
        _LockedRow,
        Automation.select(
            Automation.name,
            Automation.type,
            Automation.enabled,
            Automation.version,
            Automation.hook_token_hash,
            Automation.automatic_retries,
            Automation.draft_saved_at,
            Automation.draft_saved_by,
            Automation.draft_source,
            Automation.draft_revision,
            Automation.draft_base_version,
        )
        .where(Automation.id == automation_id, Automation.workspace_id == workspace_id, Automation.deleted_at.is_null())
        .for_update(),
    )
    if row is None:
        raise NotFound(_MISSING)
    return row


def _update(workspace_id: str, automation_id: str, **values: object) -> None:
    execute(
        Automation.update(**values, updated_at=now()).where(
            Automation.id == automation_id, Automation.workspace_id == workspace_id
        )
    )


def _set_hook_token(workspace_id: str, automation_id: str) -> str:
    token = secrets.token_urlsafe(32)
    _update(workspace_id, automation_id, hook_token_hash=_digest(token))
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
