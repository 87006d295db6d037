"""Users who sign in: their passwords as argon2id hashes, and their role in each workspace.

Hashing and checking take about a tenth of a second of CPU time each, without the database: a server that must stay
responsive calls `password_matches` outside its event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

import argon2
from peewee import fn

from models import audit, secret_tokens, tables
from models.audit import AuditActor
from models.database import acting_as, connection, transaction
from models.expressions import now
from models.ids import new_id
from models.queries import call, execute, fetch, fetch_first, fetch_value
from models.tables import PasswordReset, Session, User
from models.tables.people import Role

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


class MemberRow(TypedDict):
    """A member of a workspace. `email` is None for an account that lost its address to a user who proved it."""

    id: str
    email: str | None
    name: str
    role: Role
    created_at: datetime
    verified: bool
    deployment_owner: bool


class _SignInRow(TypedDict):
    user_id: str
    email: str
    name: str
    password_hash: str
    workspace_id: str
    role: Role


class _RenamedRow(TypedDict):
    workspace_id: str
    former_name: str


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
            User.insert(
                id=user_id, email=email, name=name, password_hash=hash_password(password),
                deployment_owner=deployment_owner, verified_at=now() if deployment_owner else None,
            )
        )  # fmt: skip
    return user_id


def set_password(user_id: str, password: str) -> None:
    """Change a password and end every session of the user. Needs the service's connection."""
    with transaction():
        execute(User.update(password_hash=hash_password(password)).where(User.id == user_id))
        execute(Session.delete().where(Session.user_id == user_id))
        execute(PasswordReset.delete().where(PasswordReset.user_id == user_id))


def find_id(email: str) -> str | None:
    """Return the id of the user with this e-mail address, in any case. Needs the service's connection."""
    with transaction():
        user_id: str | None = fetch_value(User.select(User.id).where(fn.lower(User.email) == fn.lower(email)))
        return user_id


def join(workspace_id: str, user_id: str, role: Role) -> None:
    """Make a user a member, or change a member's role."""
    member = tables.Membership
    with acting_as(workspace_id):
        execute(
            member.insert(workspace_id=workspace_id, user_id=user_id, role=role).on_conflict(
                conflict_target=[member.workspace_id, member.user_id], preserve=[member.role]
            )
        )


def list_members(workspace_id: str) -> list[MemberRow]:
    """Return the members of a workspace, those who joined first at the beginning."""
    member = tables.Membership
    query = (
        member.select(
            User.id, User.email, User.name, member.role, member.created_at,
            User.verified_at.is_null(False).alias("verified"), User.deployment_owner,
        )
        .join(User, on=User.id == member.user_id)
        .where(member.workspace_id == workspace_id)
        .order_by(member.created_at, User.id)
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(MemberRow, query)


def find_sign_in(email: str) -> tuple[Membership | None, str | None]:
    """Return the oldest membership of the user with this e-mail address, and their password's hash."""
    with connection():
        row = fetch_first(_SignInRow, call(fn.find_sign_in(email), _SignInRow))
    return (None, None) if row is None else (_build_membership(row), row["password_hash"])


def find_first_membership(account: UserAccount) -> Membership | None:
    """Return the oldest membership of an account."""
    return next((member for member in list_memberships(account.email) if member.user_id == account.user_id), None)


def list_memberships(email: str) -> list[Membership]:
    """Return every membership of the user with this e-mail address, oldest first."""
    with connection():
        return [_build_membership(row) for row in fetch(_SignInRow, call(fn.find_sign_in(email), _SignInRow))]


def _build_membership(row: _SignInRow) -> Membership:
    return Membership(row["user_id"], row["email"], row["name"], row["workspace_id"], row["role"])


def find_account(email: str) -> UserAccount | None:
    """Return the account with this e-mail address, in any case."""
    with connection():
        return fetch_first(UserAccount, call(fn.find_account(email), UserAccount))


def rename(session_token: str, actor: AuditActor, name: str) -> None:
    """Rename a session token's user, with an entry in the audit log of each of their workspaces."""
    with transaction():
        for row in fetch(_RenamedRow, call(fn.rename_person(secret_tokens.digest(session_token), name), _RenamedRow)):
            detail = audit.compare({"name": row["former_name"]}, {"name": name})
            audit.record(row["workspace_id"], actor, "user.renamed", "user", str(actor.id), detail)


def change_password(session_token: str, actor: AuditActor, old_hash: str, new_hash: str) -> bool:
    """Change the password of a session token's user, and end their other sessions in every workspace.

    Returns False if `old_hash` is no longer current. Writes an entry to the audit log of each of their workspaces.
    """
    with transaction():
        workspace_ids = fetch_value(call(fn.change_password(secret_tokens.digest(session_token), old_hash, new_hash)))
        for workspace_id in workspace_ids or ():
            audit.record(workspace_id, actor, "user.password_changed", "user", str(actor.id))
    return workspace_ids is not None
