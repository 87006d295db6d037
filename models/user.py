"""People who sign in: their passwords as argon2id hashes, and their role in each workspace.

Hashing and checking take about a tenth of a second of processor time each and touch no database: a server that must
stay responsive calls `password_matches` away from its event loop.
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
#: Of a password nobody has: checked when the e-mail is unknown, so that an answer's time does not tell who exists.
_DUMMY_HASH = _hasher.hash(new_id())


@dataclass(frozen=True)
class Membership:
    """A person in a workspace, as the sign-in finds them."""

    user_id: str
    email: str
    name: str
    workspace_id: str
    role: Role


@dataclass(frozen=True, repr=False)
class UserAccount:
    """A person who can sign in, member of a workspace or not."""

    user_id: str
    email: str
    name: str
    password_hash: str


def hash_password(password: str) -> str:
    """An argon2id hash with its own salt and parameters in it."""
    return _hasher.hash(password)


def password_matches(password_hash: str | None, password: str) -> bool:
    """Whether `password` is the one behind `password_hash`; equally slow where there is none."""
    try:
        return _hasher.verify(password_hash or _DUMMY_HASH, password) and password_hash is not None
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def create(email: str, name: str, password: str, *, deployment_owner: bool = False) -> str:
    """A new person without a workspace; their id. Needs the service's or the owner's connection.

    The deployment's owner counts as verified: nobody takes that address over.
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
    """Change a password and end every session that was opened with the old one. Needs the service's connection."""
    with transaction():
        execute("update users set password_hash = %s where id = %s", (hash_password(password), user_id))
        for table in ("sessions", "password_resets"):
            execute(f"delete from {table} where user_id = %s", (user_id,))


def find_id(email: str) -> str | None:
    """The person with this e-mail, in any case of letters. Needs the service's connection."""
    with transaction():
        user_id: str | None = fetch_value("select id from users where lower(email) = lower(%s)", (email,))
        return user_id


def join(workspace_id: str, user_id: str, role: Role) -> None:
    """Make a person a member, or change the role of one who is."""
    with acting_as(workspace_id):
        execute(
            "insert into memberships (workspace_id, user_id, role) values (%s, %s, %s) "
            "on conflict (workspace_id, user_id) do update set role = excluded.role",
            (workspace_id, user_id, role),
        )


def list_members(workspace_id: str) -> list[Row]:
    """The members of a workspace: id, email, name, role, created_at, verified, deployment_owner. An account whose
    address somebody else proved to be theirs has none."""
    with acting_as(workspace_id):
        return fetch_rows(
            "select u.id, u.email, u.name, m.role, m.created_at, u.verified_at is not null as verified, "
            "u.deployment_owner from memberships m join users u on u.id = m.user_id "
            "where m.workspace_id = %s order by m.created_at, u.id",
            (workspace_id,),
        )


def find_sign_in(email: str) -> tuple[Membership | None, str | None]:
    """The oldest membership of the person with this e-mail, and their password's hash."""
    with connection():
        row = fetch_row("select * from find_sign_in(%s) limit 1", (email,))
    return (None, None) if row is None else (_build_membership(row), row["password_hash"])


def find_first_membership(account: UserAccount) -> Membership | None:
    """The oldest membership of an account."""
    return next((member for member in list_memberships(account.email) if member.user_id == account.user_id), None)


def list_memberships(email: str) -> list[Membership]:
    """Every membership of the person with this e-mail, the oldest first."""
    with connection():
        return [_build_membership(row) for row in fetch_rows("select * from find_sign_in(%s)", (email,))]


def _build_membership(row: Row) -> Membership:
    return Membership(str(row["user_id"]), row["email"], row["name"], str(row["workspace_id"]), row["role"])


def find_account(email: str) -> UserAccount | None:
    """The account with this address, in any case of letters."""
    with connection():
        columns = fetch_row("select * from find_account(%s)", (email,))
    return None if columns is None else UserAccount(**columns)


def rename(session_token: str, actor: Actor, name: str) -> None:
    """Change the name of the person whose session's cookie this is. Each of their workspaces has a line in its audit
    log."""
    with transaction():
        for row in fetch_rows("select * from rename_person(%s, %s)", (links.digest(session_token), name)):
            detail = {"from": row["former_name"], "to": name}
            audit.record(row["workspace_id"], actor, "user.renamed", "user", str(actor.id), detail)


def change_password(session_token: str, actor: Actor, old_hash: str, new_hash: str) -> bool:
    """Change the password of the person whose session's cookie this is, and end their other sessions everywhere.

    False where `old_hash` is not the password's any more. Each of their workspaces has a line in its audit log.
    """
    with transaction():
        workspace_ids = fetch_value(
            "select change_password(%s, %s, %s)", (links.digest(session_token), old_hash, new_hash)
        )
        for workspace_id in workspace_ids or ():
            audit.record(workspace_id, actor, "user.password_changed", "user", str(actor.id))
    return workspace_ids is not None
