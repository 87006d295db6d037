"""Password resets: a single-use link, printed by the command, that lets a person set a new password."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import fn

from models import audit, secret_tokens, tables, user
from models.audit import AuditActor
from models.database import connection, transaction
from models.errors import NotFound
from models.expressions import now
from models.queries import call, execute, fetch_first, fetch_value, fetch_values
from models.tables import Membership


@dataclass(frozen=True)
class PasswordReset:
    """A valid password reset and its user."""

    user_id: str
    email: str
    name: str


def issue(email: str, actor: AuditActor) -> str:
    """Issue a reset link for the user with this address; return its token. An older link of the user ends.

    The old password works until the link is used. Needs the service's connection. Raises `NotFound`.
    """
    token = secret_tokens.generate()
    with transaction():
        user_id = user.find_id(email)
        if user_id is None:
            raise NotFound("There is no user with that e-mail address.")
        _replace(user_id, token)
        for workspace_id in fetch_values(
            Membership.select(Membership.workspace_id).where(Membership.user_id == user_id)
        ):
            audit.record(workspace_id, actor, "user.reset_issued", "user", user_id)
    return token


def _replace(user_id: str, token: str) -> None:
    reset = tables.PasswordReset
    execute(
        reset.insert(
            user_id=user_id, token_hash=secret_tokens.digest(token), expires_at=now() + secret_tokens.LINK_LIFETIME
        ).on_conflict(conflict_target=[reset.user_id], preserve=[reset.token_hash, reset.expires_at])
    )


def find(token: str) -> PasswordReset | None:
    """Return the reset of a link's token, unless it was used, replaced or has expired."""
    with connection():
        return fetch_first(PasswordReset, call(fn.find_password_reset(secret_tokens.digest(token)), PasswordReset))


def use(token: str, reset: PasswordReset, new_hash: str) -> bool:
    """Set the password and end every session of the user; return False if the link was used meanwhile."""
    actor = AuditActor("user", reset.user_id, reset.name or reset.email)
    with transaction():
        workspace_ids = fetch_value(call(fn.reset_password(secret_tokens.digest(token), new_hash)))
        for workspace_id in workspace_ids or ():
            audit.record(workspace_id, actor, "user.password_reset", "user", reset.user_id)
    return workspace_ids is not None
