"""Signed-in browsers: the cookie holds a random token, the table only its SHA-256, and a row can be ended at once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.database import acting_as, changed, connection, row
from models.user import Membership, Role

#: The cookie that holds the token.
COOKIE = "beckon_session"
#: How long a browser stays signed in.
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


def start(member: Membership) -> str:
    """Sign a browser in; the token for its cookie. Sessions that are long over go away with it."""
    token = secrets.token_urlsafe(32)
    with acting_as(member.workspace_id):
        changed("delete from sessions where workspace_id = %s and expires_at < beckon_now()", (member.workspace_id,))
        changed(
            "insert into sessions (token_hash, user_id, workspace_id, expires_at) "
            "values (%s, %s, %s, beckon_now() + %s)",
            (_digest(token), member.user_id, member.workspace_id, LIFETIME),
        )
    return token


def find(token: str) -> Session | None:
    """The session behind a cookie, unless it is over or the person is no longer a member."""
    with connection():
        found = row("select * from find_session(%s)", (_digest(token),))
    if found is None:
        return None
    ids = {name: str(found[name]) for name in ("user_id", "workspace_id")}
    return Session(**{**found, **ids})


def end(session: Session, token: str) -> None:
    """Sign the browser out."""
    with acting_as(session.workspace_id):
        changed("delete from sessions where token_hash = %s", (_digest(token),))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
