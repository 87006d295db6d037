"""Password resets: a single-use link, printed by the command, that lets a person set a new password."""

from __future__ import annotations

from dataclasses import dataclass

from models import audit, links
from models.audit import Actor
from models.database import connection, execute, fetch_row, fetch_rows, fetch_value, transaction
from models.errors import NotFound


@dataclass(frozen=True)
class PasswordReset:
    """A valid password reset and its user."""

    user_id: str
    email: str
    name: str


def issue(email: str, actor: Actor) -> str:
    """Issue a reset link for the user with this address; return its token. An older link of the user ends.

    The old password works until the link is used. Needs the service's connection. Raises `NotFound`.
    """
    token = links.new_token()
    with transaction():
        user_id = fetch_value("select id from users where lower(email) = lower(%s)", (email,))
        if user_id is None:
            raise NotFound("There is no user with that e-mail address.")
        execute(
            "insert into password_resets (user_id, token_hash, expires_at) values (%s, %s, beckon_now() + %s) "
            "on conflict (user_id) do update set token_hash = excluded.token_hash, expires_at = excluded.expires_at",
            (user_id, links.digest(token), links.LIFETIME),
        )
        for membership in fetch_rows("select workspace_id from memberships where user_id = %s", (user_id,)):
            audit.record(membership["workspace_id"], actor, "user.reset_issued", "user", user_id)
    return token


def find(token: str) -> PasswordReset | None:
    """Return the reset of a link's token, unless it was used, replaced or has expired."""
    with connection():
        columns = fetch_row("select * from find_password_reset(%s)", (links.digest(token),))
    return None if columns is None else PasswordReset(**columns)


def use(token: str, reset: PasswordReset, new_hash: str) -> bool:
    """Set the password and end every session of the user; return False if the link was used meanwhile."""
    actor = Actor("user", reset.user_id, reset.name or reset.email)
    with transaction():
        workspace_ids = fetch_value("select reset_password(%s, %s)", (links.digest(token), new_hash))
        for workspace_id in workspace_ids or ():
            audit.record(workspace_id, actor, "user.password_reset", "user", reset.user_id)
    return workspace_ids is not None
