"""Who asks, and what they may do: an API key with scopes, or a signed-in person with a role.

Every path that is not open to all calls `caller` with the permission that it needs; no answer is made before that. The
workspace of everything that follows is the caller's and comes from nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flask
import structlog

import metrics
from dashboard import csrf
from dashboard.errors import Refusal, not_there
from ephemeral.rate_limits import Limit, wait_seconds
from models import api_key, session
from models.api_key import SCOPES, Scope
from models.audit import Actor
from models.session import Session
from settings import Settings

#: What a route asks for: a key's scope, and what a role gives. `admin` is what only owners do.
Permission = Scope

COOKIE = session.COOKIE

_OF_ROLE: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "write", "trigger", "track"}),
    "owner": frozenset({"read", "write", "trigger", "track", "admin"}),
}
#: For each permission the weakest role that has it.
LOWEST_ROLE: dict[Permission, str] = {
    permission: next(role for role, permissions in _OF_ROLE.items() if permission in permissions)
    for permission in SCOPES
}
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Caller:
    """Whoever makes the request, after they were found to be allowed to."""

    workspace_id: str
    actor: Actor
    #: What they may do; a key's scopes, or what follows from a role.
    permissions: frozenset[str]
    #: The person's session, where the caller is one.
    session: Session | None = None
    #: Whether the caller may look at the deployment as a whole.
    deployment_owner: bool = False


def settings() -> Settings:
    """The application's settings."""
    told: Settings = flask.current_app.extensions["settings"]
    return told


def caller(permission: Permission, workspace_id: str | None = None) -> Caller:
    """The present request's caller, who has `permission`, in the workspace that the path names if it names one.

    Raises `Refusal` 401, 403, or 404 for another workspace than theirs.
    """
    found = _by_key() if "Authorization" in flask.request.headers else _by_session()
    return _permitted(found, permission, workspace_id)


def session_caller(permission: Permission) -> Caller:
    """The signed-in person who makes the present request and has `permission`; a key in its header counts for nothing.

    Raises `Refusal` 401 or 403.
    """
    return _permitted(_by_session(), permission)


def _permitted(found: Caller, permission: Permission, workspace_id: str | None = None) -> Caller:
    structlog.contextvars.bind_contextvars(workspace_id=found.workspace_id, actor=found.actor.kind)
    flask.g.caller = found
    if workspace_id is not None and workspace_id.lower() != found.workspace_id:
        raise not_there()
    if permission not in found.permissions:
        raise Refusal(403, _why_not(permission, found))
    return found


def _why_not(permission: str, found: Caller) -> str:
    if found.session is not None:
        return (
            f'As {found.session.role} you may not do this; it needs the permission "{permission}". '
            "An owner of the workspace can give you another role."
        )
    return f'This key does not have the scope "{permission}".'


def _unauthorized(detail: str) -> Refusal:
    return Refusal(401, detail, headers={"WWW-Authenticate": 'Bearer realm="beckon"'})


def _by_key() -> Caller:
    scheme, _, secret = flask.request.headers["Authorization"].partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise _unauthorized("Send the API key as: Authorization: Bearer <key>.")
    key = api_key.find(secret.strip())
    if key is None:
        raise _unauthorized("This API key is not known or was revoked.")
    _note_use(key)
    actor = Actor("api_key", key.id, key.name)
    return Caller(key.workspace_id, actor, key.scopes, deployment_owner=key.deployment_owner)


_noted: dict[str, float] = {}


def _note_use(key: api_key.ApiKey) -> None:
    """Write that a key is in use at most once a minute."""
    now = time.monotonic()
    if now - _noted.get(key.id, -60.0) < 60:
        return
    if len(_noted) > 10_000:
        _noted.clear()
    _noted[key.id] = now
    api_key.note_use(key.workspace_id, key.id)


def signed_in() -> Session | None:
    """The session of the present browser, if it has one."""
    token = flask.request.cookies.get(COOKIE)
    return session.find(token) if token else None


def _by_session() -> Caller:
    found = signed_in()
    if found is None:
        raise _unauthorized("Send an API key, or sign in.")
    if flask.request.method not in _SAFE_METHODS:
        csrf.check(settings().secret_key, flask.request.cookies[COOKIE], settings().url)
    actor = Actor("user", found.user_id, found.name or found.email)
    return Caller(found.workspace_id, actor, _OF_ROLE[found.role], found, found.deployment_owner)


def deployment_fields(call: Caller, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that name the machine or count the work of every workspace: null unless the caller owns the deployment."""
    return dict(fields) if call.deployment_owner else dict.fromkeys(fields)


def spend_triggers(who: str, count: int) -> None:
    """Take `count` triggers from what a key may send. Raises `Refusal` 429."""
    told = settings()
    wait = wait_seconds(Limit("triggers", told.trigger_rate, told.trigger_burst), who, count)
    if wait:
        metrics.triggers_total.labels(source="api", result="rate_limited").inc(count)
        raise Refusal(429, "Too many triggers with this key.", retry_after=wait)
