"""Who asks, and what they may do: an API key with scopes, or a signed-in person with a role.

Every path that is not open to all calls `caller` with the permission that it needs; no answer is made before that. The
workspace of everything that follows is the caller's and comes from nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from models.database import Row
from models.session import Session
from models.user import Role
from settings import Settings

#: What a route asks for: a key's scope, and what a role gives. `admin` is what only owners do.
Permission = Scope

COOKIE = session.COOKIE

_OF_ROLE: dict[Role, frozenset[str]] = {
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
    #: The hash of the key or of the session's token.
    credential: bytes = field(default=b"", repr=False)
    #: Whether the caller may look at the deployment as a whole.
    deployment_owner: bool = False


def settings() -> Settings:
    """The application's settings."""
    told: Settings = flask.current_app.extensions["settings"]
    return told


def permissions_of(role: Role) -> frozenset[str]:
    """What a person with this role may do."""
    return _OF_ROLE[role]


def caller(permission: Permission, workspace_id: str | None = None, *, is_stream: bool = False) -> Caller:
    """The present request's caller, who has `permission`, in the workspace that the path names if it names one.

    A stream is opened by a page without anybody being there, so it does not keep a session alive.

    Raises `Refusal` 401, 403, or 404 for another workspace than theirs.
    """
    found = _by_key() if "Authorization" in flask.request.headers else _by_session(is_stream)
    return _permitted(found, permission, workspace_id)


def session_caller(permission: Permission) -> Caller:
    """The signed-in person who makes the present request and has `permission`; a key in its header counts for nothing.

    Raises `Refusal` 401 or 403.
    """
    return _permitted(_by_session(is_stream=False), permission)


def _permitted(found: Caller, permission: Permission, workspace_id: str | None = None) -> Caller:
    structlog.contextvars.bind_contextvars(workspace_id=found.workspace_id, actor=found.actor.kind)
    flask.g.caller = found
    if workspace_id is not None and workspace_id.lower() != found.workspace_id:
        raise not_there()
    if permission not in found.permissions:
        raise Refusal(403, _why_not(permission, found))
    return found


def refuse_role(call: Caller, role: Role) -> None:
    """Nobody gives more than they have. Raises `Refusal` 403 where the role grants what the caller lacks."""
    beyond = sorted(_OF_ROLE[role] - call.permissions)
    if beyond:
        raise Refusal(403, f'The role "{role}" grants what you do not have yourself: {", ".join(beyond)}.')


def may_change_member(call: Caller, member: Row) -> bool:
    """Whether the caller, an owner, may change or remove this member: nobody but a deployment owner does one."""
    return call.deployment_owner or not member["deployment_owner"]


def refuse_deployment_owner(call: Caller, member: Row) -> None:
    """An ordinary owner cannot shut the deployment owner out. Raises `Refusal` 403."""
    if not may_change_member(call, member):
        raise Refusal(403, "Only the deployment owner can change or remove this member.")


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
    hashed = api_key.digest(secret.strip())
    if _is_note_due(hashed):
        api_key.note_use(key.workspace_id, key.id)
    return Caller(
        key.workspace_id,
        Actor("api_key", key.id, key.name),
        key.scopes,
        credential=hashed,
        deployment_owner=key.deployment_owner,
    )


_noted: dict[bytes, float] = {}


def _is_note_due(credential: bytes) -> bool:
    """Whether it is to be written that a key or session is in use: at most once a minute."""
    now = time.monotonic()
    if now - _noted.get(credential, -60.0) < 60:
        return False
    if len(_noted) > 10_000:
        _noted.clear()
    _noted[credential] = now
    return True


def signed_in() -> Session | None:
    """The session of the present browser, if it has one."""
    token = flask.request.cookies.get(COOKIE)
    return session.find(token) if token else None


def _is_activity() -> bool:
    """Whether a person is behind the present request: pages refresh their parts by themselves, with htmx."""
    return flask.request.method not in _SAFE_METHODS or flask.request.headers.get("HX-Request") != "true"


def _by_session(is_stream: bool) -> Caller:
    found = signed_in()
    if found is None:
        raise _unauthorized("Send an API key, or sign in.")
    token = flask.request.cookies[COOKIE]
    if flask.request.method not in _SAFE_METHODS:
        csrf.check(settings().secret_key, token, settings().url)
    hashed = session.digest(token)
    if not is_stream and _is_activity() and _is_note_due(hashed):
        session.note_use(found, token)
    actor = Actor("user", found.user_id, found.name or found.email)
    return Caller(
        found.workspace_id, actor, permissions_of(found.role), found, hashed, deployment_owner=found.deployment_owner
    )


#: Invitations of one workspace: each may send an e-mail to an address that somebody typed.
INVITATIONS = Limit("invitations", 0.1, 60)


def spend_invitation(workspace_id: str) -> None:
    """Take one of the invitations that a workspace may make. Raises `Refusal` 429."""
    wait = wait_seconds(INVITATIONS, workspace_id)
    if wait:
        raise Refusal(429, "Too many invitations from this workspace.", retry_after=wait)


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
