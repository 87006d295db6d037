"""Users who sign in: their passwords as argon2id hashes, and their role in each workspace.

Hashing and checking take about a tenth of a second of CPU time each, without the database: a server that must stay
responsive calls `password_matches` outside its event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import argon2

from models import audit, links
from models.audit import Actor
from models.database import Row, acting_as, connection, execute, fetch_row, fetch_rows, fetch_value, transaction
from models.ids import new_id

Role = Literal["owner", "operator", "viewer"]

_hasher = argon2.PasswordHasher()
#: Checked when the e-mail address is unknown, so that the response time does not reveal which accounts exist.
_DUMMY_HASH = _hasher.hash(new_id())


@dataclass(frozen=True)
class Membership:
    """A user's membership of a workspace."""

    user_id: str
    email: str
    name: str
    workspace_id: str
    role: Role


@dataclass(frozen=True, repr=False)
class UserAccount:
    """A user who can sign in, with or without a workspace."""

    user_id: str
    email: str
    name: str
    password_hash: str


def hash_password(password: str) -> str:
    """Return an argon2id hash, which includes its salt and parameters."""
    return _hasher.hash(password)


def password_matches(password_hash: str | None, password: str) -> bool:
    """Return whether `password` matches `password_hash`; equally slow if there is no hash."""
    try:
        return _hasher.verify(password_hash or _DUMMY_HASH, password) and password_hash is not None
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def create(email: str, name: str, password: str, *, deployment_owner: bool = False) -> str:
    """Create a user without a workspace; return their id. Needs the service's or the owner's connection.

    The deployment's owner counts as verified, so that no invitation can take over the address.
    """
    user_id = new_id()
    with transaction():
        execute(
            "insert into users (id, email, name, password_hash, deployment_owner, verified_at) "
            "values (%s, %s, %s, %s, %s, case when %s then beckon_now() end)",
            (user_id, email, name, hash_password(password), deployment_owner, deployment_owner),
        )
    return user_id


def set_password(user_id: str, password: str) -> None:
    """Change a password and end every session of the user. Needs the service's connection."""
    with transaction():
        execute("update users set password_hash = %s where id = %s", (hash_password(password), user_id))
        for table in ("sessions", "password_resets"):
            execute(f"delete from {table} where user_id = %s", (user_id,))


def find_id(email: str) -> str | None:
    """Return the id of the user with this e-mail address, in any case. Needs the service's connection."""
    with transaction():
        user_id: str | None = fetch_value("select id from users where lower(email) = lower(%s)", (email,))
        return user_id


def join(workspace_id: str, user_id: str, role: Role) -> None:
    """Make a user a member, or change a member's role."""
    with acting_as(workspace_id):
        execute(
            "insert into memberships (workspace_id, user_id, role) values (%s, %s, %s) "
            "on conflict (workspace_id, user_id) do update set role = excluded.role",
            (workspace_id, user_id, role),
        )


def list_members(workspace_id: str) -> list[Row]:
    """Return the members of a workspace: id, email, name, role, created_at, verified, deployment_owner.

    `email` is None for an account that lost its address to a user who proved it.
    """
    with acting_as(workspace_id):
        return fetch_rows(
            "select u.id, u.email, u.name, m.role, m.created_at, u.verified_at is not null as verified, "
            "u.deployment_owner from memberships m join users u on u.id = m.user_id "
            "where m.workspace_id = %s order by m.created_at, u.id",
            (workspace_id,),
        )


def find_sign_in(email: str) -> tuple[Membership | None, str | None]:
    """Return the oldest membership of the user with this e-mail address, and their password's hash."""
    with connection():
        row = fetch_row("select * from find_sign_in(%s) limit 1", (email,))
    return (None, None) if row is None else (_build_membership(row), row["password_hash"])


def find_first_membership(account: UserAccount) -> Membership | None:
    """Return the oldest membership of an account."""
    return next((member for member in list_memberships(account.email) if member.user_id == account.user_id), None)


def list_memberships(email: str) -> list[Membership]:
    """Return every membership of the user with this e-mail address, oldest first."""
    with connection():
        return [_build_membership(row) for row in fetch_rows("select * from find_sign_in(%s)", (email,))]


def _build_membership(row: Row) -> Membership:
    return Membership(str(row["user_id"]), row["email"], row["name"], str(row["workspace_id"]), row["role"])


def find_account(email: str) -> UserAccount | None:
    """Return the account with this e-mail address, in any case."""
    with connection():
        columns = fetch_row("select * from find_account(%s)", (email,))
    return None if columns is None else UserAccount(**columns)


def rename(session_token: str, actor: Actor, name: str) -> None:
    """Rename a session token's user, with an entry in the audit log of each of their workspaces."""
    with transaction():
        for row in fetch_rows("select * from rename_person(%s, %s)", (links.digest(session_token), name)):
            detail = {"from": row["former_name"], "to": name}
            audit.record(row["workspace_id"], actor, "user.renamed", "user", str(actor.id), detail)


def change_password(session_token: str, actor: Actor, old_hash: str, new_hash: str) -> bool:
    """Change the password of a session token's user, and end their other sessions in every workspace.

    Returns False if `old_hash` is no longer current. Writes an entry to the audit log of each of their workspaces.
    """
    with transaction():
        workspace_ids = fetch_value(
            "select change_password(%s, %s, %s)", (links.digest(session_token), old_hash, new_hash)
        )
        for workspace_id in workspace_ids or ():
            audit.record(workspace_id, actor, "user.password_changed", "user", str(actor.id))
    return workspace_ids is not None
