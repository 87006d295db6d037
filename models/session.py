"""Browser sessions: the cookie holds a random token, the table only its SHA-256; deleting the row ends the session."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.database import acting_as, connection, execute, fetch_row, fetch_value
from models.errors import Conflict
from models.user import Membership, Role

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
    with acting_as(member.workspace_id):
        execute(
            "delete from sessions where workspace_id = %s and not session_lasts(expires_at, used_at)",
            (member.workspace_id,),
        )
        is_started = fetch_value(
            "select start_session(%s, %s, %s, %s, %s, %s)",
            (
                digest(token), member.user_id, member.workspace_id, LIFETIME, password_hash,
                None if previous_token is None else digest(previous_token),
            ),
        )  # fmt: skip
        if not is_started:
            raise Conflict("Your account changed while you signed in. Sign in again.")
    return token


def find(token: str) -> Session | None:
    """Return a cookie's session, unless it ended, was idle for too long, or the user is no longer a member."""
    with connection():
        row = fetch_row("select * from find_session(%s)", (digest(token),))
    if row is None:
        return None
    ids = {name: str(row[name]) for name in ("user_id", "workspace_id")}
    return Session(**{**row, **ids})


def record_use(session: Session, token: str) -> None:
    """Record that the session was used, to the minute, so that a busy browser does not write with every request."""
    with acting_as(session.workspace_id):
        execute(
            "update sessions set used_at = beckon_now() where token_hash = %s "
            "and used_at < beckon_now() - interval '1 minute'",
            (digest(token),),
        )


def end(session: Session, token: str) -> None:
    """End a session."""
    with acting_as(session.workspace_id):
        execute("delete from sessions where token_hash = %s", (digest(token),))


def digest(token: str) -> bytes:
    """Return the hash under which a session is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
