"""Authentication and authorization: an API key with scopes, or a signed-in person with a role.

Every path that is not public first calls `require_permission`. The workspace of a request is always the caller's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flask
import structlog
from cachetools import TTLCache

import metrics
from dashboard import csrf
from dashboard.bodies import BODY_LIMIT
from dashboard.errors import RETRY_AFTER_SECONDS, ProblemError, not_found
from ephemeral.connection import ERRORS
from ephemeral.rate_limits import RateLimit, take, try_take, try_take_in_advance
from models import api_key, session
from models.api_key import SCOPES, ApiKey, Scope
from models.audit import AuditActor
from models.session import Session
from models.tables.people import Role
from models.user import MemberRow
from settings import Settings

#: The permission a route requires: a scope of a key, or granted by a role. Only owners have `admin`.
Permission = Scope

COOKIE = session.COOKIE

_PERMISSIONS_BY_ROLE: dict[Role, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "write", "trigger", "track"}),
    "owner": frozenset({"read", "write", "trigger", "track", "admin"}),
}
#: The lowest role with each permission.
LOWEST_ROLE: dict[Permission, str] = {
    permission: next(role for role, permissions in _PERMISSIONS_BY_ROLE.items() if permission in permissions)
    for permission in SCOPES
}
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Caller:
    """The authorized caller of a request."""

    workspace_id: str
    actor: AuditActor
    #: The scopes of a key, or the permissions of a role.
    permissions: frozenset[str]
    #: The session, where the caller is a person.
    session: Session | None = None
    #: The hash of the key or of the session token.
    credential: bytes = field(default=b"", repr=False)
    #: Whether the caller may read data of the whole deployment.
    deployment_owner: bool = False


def current_settings() -> Settings:
    """The application's settings."""
    config: Settings = flask.current_app.extensions["settings"]
    return config


def permissions_for_role(role: Role) -> frozenset[str]:
    """The permissions of a role."""
    return _PERMISSIONS_BY_ROLE[role]


def require_permission(
    permission: Permission,
    workspace_id: str | None = None,
    *,
    is_stream: bool = False,
    may_be_recent: bool = False,
) -> Caller:
    """The caller of the current request, who has `permission`; `workspace_id` is the workspace named by the path.

    Pages open streams without user activity, so a stream does not extend the session. `may_be_recent` saves the query
    of a key that this process found within the last seconds.

    Raises `ProblemError` 401, 403, or 404 where `workspace_id` is not the caller's.
    """
    if "Authorization" in flask.request.headers:
        caller = _authenticate_key(api_key.find_recent if may_be_recent else api_key.find)
    else:
        caller = _authenticate_session(is_stream)
    return _authorize(caller, permission, workspace_id)


def require_session_permission(permission: Permission) -> Caller:
    """The signed-in person behind the current request, who has `permission`; an API key in the header is ignored.

    Raises `ProblemError` 401 or 403.
    """
    return _authorize(_authenticate_session(is_stream=False), permission)


def _authorize(caller: Caller, permission: Permission, workspace_id: str | None = None) -> Caller:
    structlog.contextvars.bind_contextvars(workspace_id=caller.workspace_id, actor=caller.actor.kind)
    flask.g.caller = caller
    if workspace_id is not None and workspace_id.lower() != caller.workspace_id:
        raise not_found()
    if permission not in caller.permissions:
        raise ProblemError(403, _describe_denial(permission, caller))
    return caller


def ensure_may_grant(call: Caller, role: Role) -> None:
    """Raise `ProblemError` 403 where the role has permissions that the caller lacks."""
    missing = sorted(_PERMISSIONS_BY_ROLE[role] - call.permissions)
    if missing:
        raise ProblemError(
            403, f'You cannot grant the role "{role}", because you lack its permissions: {", ".join(missing)}.'
        )


def may_change_member(call: Caller, member: MemberRow) -> bool:
    """Whether the caller, an owner, may change or remove this member; only deployment owners may change one another."""
    return call.deployment_owner or not member["deployment_owner"]


def ensure_may_change_member(call: Caller, member: MemberRow) -> None:
    """Raise `ProblemError` 403 unless the caller may change this member: owners cannot lock out a deployment owner."""
    if not may_change_member(call, member):
        raise ProblemError(403, "Only the deployment owner can change or remove this member.")


def _describe_denial(permission: str, caller: Caller) -> str:
    if caller.session is not None:
        return (
            f'Your role {caller.session.role} does not have the permission "{permission}". '
            "Ask an owner of the workspace to change your role."
        )
    return f'This key does not have the scope "{permission}".'


def unauthorized(detail: str) -> ProblemError:
    """401 with the scheme of API keys."""
    return ProblemError(401, detail, headers={"WWW-Authenticate": 'Bearer realm="beckon"'})


def _authenticate_key(find: Callable[[str], ApiKey | None]) -> Caller:
    scheme, _, secret = flask.request.headers["Authorization"].partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise unauthorized("The Authorization header is not valid. Send the API key as: Authorization: Bearer <key>.")
    key = find(secret.strip())
    if key is None:
        raise unauthorized("This API key does not exist or was revoked.")
    hashed = flask.g.credential = api_key.digest(secret.strip())
    if _claim_use_record(hashed):
        api_key.note_use(key.workspace_id, key.id)
    return Caller(
        key.workspace_id,
        AuditActor("api_key", key.id, key.name),
        key.scopes,
        credential=hashed,
        deployment_owner=key.deployment_owner,
    )


#: Keys and sessions whose use this process recorded within the last minute.
_recorded_uses: TTLCache[bytes, bool] = TTLCache(10_000, 60.0)
_recorded_uses_lock = threading.Lock()


def _claim_use_record(credential: bytes) -> bool:
    """Whether to record the use of a key or session: at most once a minute."""
    with _recorded_uses_lock:
        if credential in _recorded_uses:
            return False
        _recorded_uses[credential] = True
        return True


def find_session() -> Session | None:
    """The session of the current browser, or None."""
    token = flask.request.cookies.get(COOKIE)
    return session.find(token) if token else None


def _is_user_activity() -> bool:
    """Whether a person caused the current request; htmx refreshes fragments without user activity."""
    return flask.request.method not in _SAFE_METHODS or flask.request.headers.get("HX-Request") != "true"


def _authenticate_session(is_stream: bool) -> Caller:
    browser_session = find_session()
    if browser_session is None:
        raise unauthorized("Not authenticated. Send an API key, or sign in.")
    token = flask.request.cookies[COOKIE]
    hashed = flask.g.credential = session.digest(token)
    # The token of a form is in its body, which is parsed for it.
    flask.request.max_content_length = max(flask.request.max_content_length or 0, BODY_LIMIT)
    if flask.request.method not in _SAFE_METHODS:
        csrf.check(current_settings().secret_key, token, current_settings().url)
    if not is_stream and _is_user_activity() and _claim_use_record(hashed):
        session.record_use(browser_session, token)
    actor = AuditActor("user", browser_session.user_id, browser_session.name or browser_session.email)
    return Caller(
        browser_session.workspace_id,
        actor,
        permissions_for_role(browser_session.role),
        browser_session,
        hashed,
        deployment_owner=browser_session.deployment_owner,
    )


#: Invitations per workspace: each may send an e-mail to any address.
INVITATION_LIMIT = RateLimit("invitations", 0.1, 60)


def consume_invitation_limit(workspace_id: str) -> None:
    """Consume one invitation of the workspace's limit. Raises `ProblemError` 429."""
    wait = try_take(INVITATION_LIMIT, workspace_id)
    if wait:
        raise ProblemError(429, "Too many invitations from this workspace. Try again later.", retry_after=wait)


#: Drafts from descriptions per workspace: each may make two long calls to a model.
DRAFT_LIMIT = RateLimit("drafts", 0.1, 10)


def consume_draft_limit(workspace_id: str) -> None:
    """Consume one draft of the workspace's limit. Raises `ProblemError` 429."""
    wait = try_take(DRAFT_LIMIT, workspace_id)
    if wait:
        raise ProblemError(429, "Too many drafts in this workspace. Try again later.", retry_after=wait)


#: Tests of credentials per workspace: each makes a call that may send a message or cost money.
CHANNEL_TEST_LIMIT = RateLimit("channel-tests", 0.1, 10)


def consume_channel_test_limit(workspace_id: str) -> None:
    """Consume one test of credentials of the workspace's limit. Raises `ProblemError` 429, and 503 without Redis.

    A test may send to any address, so none is made that is not counted.
    """
    try:
        wait = take(CHANNEL_TEST_LIMIT, workspace_id)
    except ERRORS:
        raise ProblemError(
            503, "Redis is unavailable, so tests cannot be counted. Nothing was sent.", retry_after=RETRY_AFTER_SECONDS
        ) from None
    if wait:
        raise ProblemError(429, "Too many tests from this workspace. Try again later.", retry_after=wait)


def redact_deployment_fields(call: Caller, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields about the machine or about all workspaces: null unless the caller is a deployment owner."""
    return dict(fields) if call.deployment_owner else dict.fromkeys(fields)


def consume_trigger_limit(key: str, count: int) -> None:
    """Consume `count` triggers of the limit of `key`. Raises `ProblemError` 429."""
    config = current_settings()
    wait = try_take_in_advance(RateLimit("triggers", config.trigger_rate, config.trigger_burst), key, count)
    if wait:
        metrics.triggers_total.labels(source="api", result="rate_limited").inc(count)
        raise ProblemError(429, "Too many triggers with this key. Slow down and retry.", retry_after=wait)
