"""Invitations to a workspace. Each has two single-use links, and only their hashes are stored.

The inviter sees one link. The other is mailed, and only that one proves that its reader receives the address's mail. An
invitation ends when it is accepted, revoked, replaced by a newer one for the same address, after 72 hours, or when its
inviter loses the permission to create it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from models import audit, links
from models.audit import Actor
from models.database import Row, acting_as, connection, execute, fetch_row, fetch_rows, fetch_value, transaction
from models.errors import Conflict, NotFound
from models.ids import new_id
from models.user import Membership, Role

Outcome = Literal["accepted", "member", "taken"]

_NO_PENDING = "There is no pending invitation with that id."


@dataclass(frozen=True)
class IssuedInvitation:
    """A new invitation with the tokens of its links, which are not stored."""

    id: str
    email: str
    role: Role
    expires_at: datetime
    shown_token: str
    mailed_token: str

    def __repr__(self) -> str:
        return f"IssuedInvitation(id={self.id!r})"


@dataclass(frozen=True)
class Invitation:
    """A pending invitation, found by one of its links."""

    id: str
    workspace_id: str
    workspace_name: str
    email: str
    role: Role
    #: The name of the inviter: a person, a key or the command.
    actor_name: str
    expires_at: datetime


@dataclass(frozen=True)
class Acceptance:
    """The outcome of an attempt to accept; `member` is set if it was accepted."""

    outcome: Outcome
    member: Membership | None = None


def create(
    workspace_id: str, email: str, role: Role, actor: Actor, *, deployment_owner: bool = False
) -> IssuedInvitation:
    """Invite an address, normalized by `rules.contacts`; an older invitation of it ends.

    Does not reveal whether the address has an account. Raises `Conflict` for a member of this workspace.
    `deployment_owner` needs the service's connection.
    """
    issued_id, shown_token, mailed_token = new_id(), links.new_token(), links.new_token()
    with acting_as(workspace_id):
        # Serialized per workspace, so that two invitations of an address do not collide.
        fetch_value("select id from workspaces where id = %s for no key update", (workspace_id,))
        _refuse_members(workspace_id, email)
        execute("delete from invitations where workspace_id = %s and not is_pending(invitations)", (workspace_id,))
        replaced = execute("delete from invitations where workspace_id = %s and email = %s", (workspace_id, email))
        expires_at = fetch_value(
            "insert into invitations (id, workspace_id, email, role, shown_hash, mailed_hash, actor_kind, actor_id, "
            "actor_name, expires_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, beckon_now() + %s) "
            "returning expires_at",
            (
                issued_id, workspace_id, email, role, links.digest(shown_token), links.digest(mailed_token),
                actor.kind, actor.id, actor.name, links.LIFETIME,
            ),
        )  # fmt: skip
        if deployment_owner:
            execute("update invitations set deployment_owner = true where id = %s", (issued_id,))
        detail = {"email": email, "role": role, "replaced": replaced == 1}
        audit.record(workspace_id, actor, "invitation.created", "invitation", issued_id, detail)
    return IssuedInvitation(issued_id, email, role, expires_at, shown_token, mailed_token)


def _refuse_members(workspace_id: str, email: str) -> None:
    member = fetch_value(
        "select u.id from memberships m join users u on u.id = m.user_id "
        "where m.workspace_id = %s and lower(u.email) = %s",
        (workspace_id, email.lower()),
    )
    if member is not None:
        raise Conflict("This person is already a member. Change their role instead.", "email")


def list_pending(workspace_id: str) -> list[Row]:
    """Return the pending invitations, newest first: id, email, role, invited_by, created_at, expires_at."""
    with acting_as(workspace_id):
        return fetch_rows(
            "select id, email, role, actor_name as invited_by, created_at, expires_at from invitations i "
            "where workspace_id = %s and is_pending(i) order by id desc",
            (workspace_id,),
        )


def revoke(workspace_id: str, invitation_id: str, actor: Actor) -> None:
    """Revoke an invitation; both of its links stop working. Raises `NotFound`."""
    with acting_as(workspace_id):
        deleted = fetch_row(
            "delete from invitations i where workspace_id = %s and id = %s and is_pending(i) returning email, role",
            (workspace_id, invitation_id),
        )
        if deleted is None:
            raise NotFound(_NO_PENDING)
        audit.record(workspace_id, actor, "invitation.revoked", "invitation", invitation_id, deleted)


def find(token: str) -> Invitation | None:
    """Return the pending invitation of a link's token, or None."""
    with connection():
        columns = fetch_row("select * from find_invitation(%s)", (links.digest(token),))
    return None if columns is None else Invitation(**columns)


def accept(token: str, user_id: str, email: str, name: str) -> Acceptance | None:
    """Make an account a member, whatever its address; return None for an invalid link. A member keeps their role."""
    with transaction():
        row = fetch_row("select * from accept_invitation(%s, %s)", (links.digest(token), user_id))
        return _record_acceptance(row, Membership(user_id, email, name, "", "viewer"), new_account=False)


def accept_with_new_account(token: str, email: str, name: str, password_hash: str) -> Acceptance | None:
    """Create an account for the invited address and make it a member; return None for an invalid link.

    The outcome is `taken` if the address has an account, unless the link was mailed and that account never proved the
    address: then the account loses the address, its password and its sessions, and keeps its memberships.
    """
    user_id = new_id()
    with transaction():
        row = fetch_row(
            "select * from create_invited_account(%s, %s, %s, %s)", (links.digest(token), user_id, name, password_hash)
        )
        return _record_acceptance(row, Membership(user_id, email, name, "", "viewer"), new_account=True)


def _record_acceptance(row: Row | None, person: Membership, *, new_account: bool) -> Acceptance | None:
    if row is None:
        return None
    if row["outcome"] != "accepted":
        return Acceptance(row["outcome"])
    member = Membership(person.user_id, person.email, person.name, row["workspace_id"], row["role"])
    actor = Actor("user", member.user_id, member.name or member.email)
    detail = {"email": member.email, "role": member.role, "newAccount": new_account}
    audit.record(member.workspace_id, actor, "invitation.accepted", "invitation", row["invitation_id"], detail)
    return Acceptance("accepted", member)
