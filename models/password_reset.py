"""Password resets: a single-use link, printed by the command, with which a person sets a new password themselves."""

from __future__ import annotations

from dataclasses import dataclass

from models import audit, links
from models.audit import Actor
from models.database import connection, execute, fetch_row, fetch_rows, fetch_value, transaction
from models.errors import NotFound


@dataclass(frozen=True)
class PasswordReset:
    """A reset that its link opens, and whose it is."""

    user_id: str
    email: str
    name: str


def issue(email: str, actor: Actor) -> str:
    """The token of a new link for the person with this address; an older link of theirs ends. Raises `NotThere`.

    The password stays until the link is used. Needs the service's connection.
    """
    token = links.new_token()
    with transaction():
        user_id = fetch_value("select id from users where lower(email) = lower(%s)", (email,))
        if user_id is None:
            raise NotFound("There is nobody with that e-mail.")
        execute(
            "insert into password_resets (user_id, token_hash, expires_at) values (%s, %s, beckon_now() + %s) "
            "on conflict (user_id) do update set token_hash = excluded.token_hash, expires_at = excluded.expires_at",
            (user_id, links.digest(token), links.LIFETIME),
        )
        for membership in fetch_rows("select workspace_id from memberships where user_id = %s", (user_id,)):
            audit.record(membership["workspace_id"], actor, "user.reset_issued", "user", user_id)
    return token


def find(token: str) -> PasswordReset | None:
    """The reset that a link opens, unless it was used, replaced or is too old."""
    with connection():
        columns = fetch_row("select * from find_password_reset(%s)", (links.digest(token),))
    return None if columns is None else PasswordReset(**columns)


def use(token: str, reset: PasswordReset, new_hash: str) -> bool:
    """Set the password and end every session of the person; False where the link was used meanwhile."""
    actor = Actor("user", reset.user_id, reset.name or reset.email)
    with transaction():
        workspace_ids = fetch_value("select reset_password(%s, %s)", (links.digest(token), new_hash))
        for workspace_id in workspace_ids or ():
            audit.record(workspace_id, actor, "user.password_reset", "user", reset.user_id)
    return workspace_ids is not None
