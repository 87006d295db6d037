"""Browser sessions: the cookie holds a random token, the table only its SHA-256; deleting the row ends the session."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from peewee import fn

from models import tables
from models.database import acting_as, connection
from models.errors import Conflict
from models.expressions import now
from models.queries import call, execute, fetch_first, fetch_value
from models.tables.people import Role
from models.user import Membership

#: The cookie that holds the token.
COOKIE = "beckon_session"
#: Maximum lifetime of a session; the function `session_lasts` also ends it after twelve idle hours.
LIFETIME = timedelta(days=14)


@dataclass(frozen=True)
class Session:
    """A signed-in browser's user and workspace, with the user's current role."""

    user_id: str
    email: str
    name: str
    workspace_id: str
    role: Role
    expires_at: datetime
    #: Whether they may read deployment-wide data.
    deployment_owner: bool = False


def start(member: Membership, *, password_hash: str | None = None, previous_token: str | None = None) -> str:
    """Start a session; return the token for its cookie. Deletes the workspace's expired sessions.

    `password_hash` is the hash of the verified password. `previous_token` is the browser's token until now: its session
    ends, and is the proof if there is no hash. Raises `Conflict` if the password, the address or the membership changed
    meanwhile, so that a change that ends every session also ends those about to start.
    """
    token = secrets.token_urlsafe(32)
    previous = None if previous_token is None else digest(previous_token)
    start_session = fn.start_session(
        digest(token), member.user_id, member.workspace_id, LIFETIME, password_hash, previous
    )
    with acting_as(member.workspace_id):
        _remove_expired(member.workspace_id)
        if not fetch_value(call(start_session)):
            raise Conflict("Your account changed while you signed in. Sign in again.")
    return token


def _remove_expired(workspace_id: str) -> None:
    session = tables.Session
    is_over = ~fn.session_lasts(session.expires_at, session.used_at)
    execute(session.delete().where(session.workspace_id == workspace_id, is_over))


def find(token: str) -> Session | None:
    """Return a cookie's session, unless it ended, was idle for too long, or the user is no longer a member."""
    with connection():
        return fetch_first(Session, call(fn.find_session(digest(token)), Session))


def record_use(session: Session, token: str) -> None:
    """Record that the session was used, to the minute, so that a busy browser does not write with every request."""
    is_stale = tables.Session.used_at < now() - timedelta(minutes=1)
    with acting_as(session.workspace_id):
        execute(tables.Session.update(used_at=now()).where(tables.Session.token_hash == digest(token), is_stale))


def end(session: Session, token: str) -> None:
    """End a session."""
    with acting_as(session.workspace_id):
        execute(tables.Session.delete().where(tables.Session.token_hash == digest(token)))


def digest(token: str) -> bytes:
    """Return the hash under which a session is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
