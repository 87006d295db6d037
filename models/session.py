"""Signed-in browsers: the cookie holds a random token, the table only its SHA-256, and a row can be ended at once."""

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
#: How long a browser stays signed in at most; the function `session_lasts` ends it after twelve idle hours too.
LIFETIME = timedelta(days=14)


@dataclass(frozen=True)
class Session:
    """Who a browser belongs to, in which workspace, with the role that they have now."""

    user_id: str
    email: str
    name: str
    workspace_id: str
    role: Role
    expires_at: datetime
    #: Whether they may look at the deployment as a whole.
    deployment_owner: bool = False


def start(member: Membership, *, password_hash: str | None = None, previous_token: str | None = None) -> str:
    """Sign a browser in; the token for its cookie. Sessions that are long over go away with it.

    `password_hash` is that of the password that was proved. `former` is the browser's token until now: its session
    ends, and is the proof where there is no hash. Raises `Conflict` where the password, the address or the membership
    changed meanwhile, so that a change that ends every session misses none that is about to start.
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
    """The session behind a cookie, unless it is over, idle for too long, or the person is no longer a member."""
    with connection():
        row = fetch_row("select * from find_session(%s)", (digest(token),))
    if row is None:
        return None
    ids = {name: str(row[name]) for name in ("user_id", "workspace_id")}
    return Session(**{**row, **ids})


def record_use(session: Session, token: str) -> None:
    """Remember that the person did something: exact to the minute, so that a busy browser does not write each time."""
    with acting_as(session.workspace_id):
        execute(
            "update sessions set used_at = beckon_now() where token_hash = %s "
            "and used_at < beckon_now() - interval '1 minute'",
            (digest(token),),
        )


def end(session: Session, token: str) -> None:
    """Sign the browser out."""
    with acting_as(session.workspace_id):
        execute("delete from sessions where token_hash = %s", (digest(token),))


def digest(token: str) -> bytes:
    """The hash by which a session is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
