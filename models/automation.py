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
from typing import Any

from psycopg2.extras import Json

from models import audit, automation_schedule
from models.audit import Actor
from models.database import Row, acting_as, connection, execute, fetch_row, fetch_rows
from models.errors import Conflict, InvalidDefinition, NotFound
from models.ids import new_id
from rules.outbound_urls import Networks
from rules.validation import validate

_MISSING = "There is no automation with that id."


@dataclass(frozen=True)
class Publication:
    """The result of a publication. `hook_token` is set only when a `hook` trigger gets its secret URL."""

    automation_id: str
    version: int
    hook_token: str | None = field(default=None, repr=False)


def create(
    workspace_id: str,
    *,
    name: str,
    type: str,
    definition: Mapping[str, Any],
    actor: Actor,
    enabled: bool = True,
    networks: Networks = (),
) -> Publication:
    """Create an automation with `definition` as version 1. Raises `InvalidDefinition`, and then creates nothing.

    `networks` are the private networks that its URLs may reach.
    """
    automation_id = new_id()
    with acting_as(workspace_id):
        execute(
            "insert into automations (id, workspace_id, name, type, enabled) values (%s, %s, %s, %s, %s)",
            (automation_id, workspace_id, name, type, enabled),
        )
        audit.record(workspace_id, actor, "automation.created", "automation", automation_id, {"name": name})
        return publish(workspace_id, automation_id, definition, actor, networks=networks)


def publish(
    workspace_id: str,
    automation_id: str,
    definition: Mapping[str, Any],
    actor: Actor,
    expected_version: int | None = None,
    networks: Networks = (),
) -> Publication:
    """Publish `definition` as the next version and delete the draft. Raises `NotFound`, `InvalidDefinition`, or
    `Conflict` if the current version is not `expected_version`."""
    with acting_as(workspace_id):
        row = _lock(workspace_id, automation_id)
        if expected_version is not None and row["version"] != expected_version:
            raise Conflict(f"Version {row['version']} was published in the meantime.", "version")
        problems = validate(definition, automation_type=row["type"], networks=networks)
        if problems:
            raise InvalidDefinition(problems)
        version, version_id = row["version"] + 1, new_id()
        trigger_type = definition["trigger"]["type"]
        execute(
            "insert into workflow_versions (id, workspace_id, automation_id, version, definition, published_by) "
            "values (%s, %s, %s, %s, %s, %s)",
            (version_id, workspace_id, automation_id, version, Json(definition), actor.name),
        )
        execute(
            "update automations set version = %s, version_id = %s, trigger_type = %s, draft = null, "
            "updated_at = beckon_now() where id = %s and workspace_id = %s",
            (version, version_id, trigger_type, automation_id, workspace_id),
        )
        automation_schedule.renew(workspace_id, automation_id, definition)
        audit.record(workspace_id, actor, "automation.published", "automation", automation_id, {"version": version})
        needs_token = trigger_type == "hook" and row["hook_token_hash"] is None
        token = _set_hook_token(workspace_id, automation_id) if needs_token else None
        return Publication(automation_id, version, token)


def rename(workspace_id: str, automation_id: str, name: str, actor: Actor) -> None:
    """Rename an automation. Raises `NotFound`."""
    with acting_as(workspace_id):
        before = _lock(workspace_id, automation_id)["name"]
        if before == name:
            return
        _update(workspace_id, automation_id, "name", name)
        audit.record(
            workspace_id, actor, "automation.renamed", "automation", automation_id, {"from": before, "to": name}
        )


def toggle(workspace_id: str, automation_id: str, enabled: bool, actor: Actor) -> None:
    """Turn an automation on or off; its schedule restarts from now. Raises `NotFound`."""
    with acting_as(workspace_id):
        before = _lock(workspace_id, automation_id)
        if before["enabled"] == enabled:
            return
        _update(workspace_id, automation_id, "enabled", enabled)
        if enabled and before["version_id"]:
            automation_schedule.renew(workspace_id, automation_id, _fetch_definition(before["version_id"]))
        action = "automation.enabled" if enabled else "automation.disabled"
        audit.record(workspace_id, actor, action, "automation", automation_id)


def save_draft(workspace_id: str, automation_id: str, document: Mapping[str, Any] | None) -> None:
    """Save the draft, valid or not, until the next publication; None discards it. Raises `NotFound`."""
    with acting_as(workspace_id):
        _lock(workspace_id, automation_id)
        execute(
            "update automations set draft = %s, updated_at = beckon_now() where id = %s and workspace_id = %s",
            (None if document is None else Json(document), automation_id, workspace_id),
        )


def renew_hook_token(workspace_id: str, automation_id: str, actor: Actor) -> str:
    """Issue a new token for `POST /api/hooks/{token}`; the old one stops working. Raises `NotFound`."""
    with acting_as(workspace_id):
        _lock(workspace_id, automation_id)
        audit.record(workspace_id, actor, "automation.hook_renewed", "automation", automation_id)
        return _set_hook_token(workspace_id, automation_id)


def find_hook(token: str) -> tuple[str, str] | None:
    """Return the workspace's and the automation's id for a hook's token, or None."""
    with connection():
        row = fetch_row("select * from find_hook(%s)", (_digest(token),))
    return None if row is None else (str(row["workspace_id"]), str(row["automation_id"]))


def delete(workspace_id: str, automation_id: str, actor: Actor, cancel_in_flight: Callable[[], int]) -> int:
    """Delete an automation softly and call `cancel_in_flight` in the same transaction; return the latter's result.

    Raises `NotFound`.
    """
    with acting_as(workspace_id):
        _lock(workspace_id, automation_id)
        execute(
            "update automations set deleted_at = beckon_now(), enabled = false, hook_token_hash = null, "
            "updated_at = beckon_now() where id = %s and workspace_id = %s",
            (automation_id, workspace_id),
        )
        automation_schedule.renew(workspace_id, automation_id, None)
        cancelled = cancel_in_flight()
        audit.record(workspace_id, actor, "automation.deleted", "automation", automation_id, {"cancelled": cancelled})
        return cancelled


def list_versions(workspace_id: str, automation_id: str) -> list[Row]:
    """Return every published version, newest first: version, definition, published_by, published_at."""
    with acting_as(workspace_id):
        return fetch_rows(
            "select version, definition, published_by, published_at from workflow_versions "
            "where automation_id = %s and workspace_id = %s order by version desc",
            (automation_id, workspace_id),
        )


def _lock(workspace_id: str, automation_id: str) -> Row:
    """Return the automation's row, locked until the transaction ends: this serializes publications."""
    row = fetch_row(
        "select name, type, enabled, version, version_id, hook_token_hash from automations "
        "where id = %s and workspace_id = %s and deleted_at is null for update",
        (automation_id, workspace_id),
    )
    if row is None:
        raise NotFound(_MISSING)
    return row


def _update(workspace_id: str, automation_id: str, column: str, value: object) -> None:
    execute(
        f"update automations set {column} = %s, updated_at = beckon_now() where id = %s and workspace_id = %s",
        (value, automation_id, workspace_id),
    )


def _fetch_definition(version_id: str) -> Mapping[str, Any] | None:
    row = fetch_row("select definition from workflow_versions where id = %s", (version_id,))
    return row["definition"] if row else None


def _set_hook_token(workspace_id: str, automation_id: str) -> str:
    token = secrets.token_urlsafe(32)
    _update(workspace_id, automation_id, "hook_token_hash", _digest(token))
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
