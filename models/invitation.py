"""Invitations to a workspace. Each has two single-use links, and only their hashes are stored.

The inviter sees one link. The other is mailed, and only that one proves that its reader receives the address's mail. An
invitation ends when it is accepted, revoked, replaced by a newer one for the same address, after 72 hours, or when its
inviter loses the permission to create it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict

from peewee import fn

from models import audit, secret_tokens, tables
from models.audit import AuditActor
from models.database import acting_as, connection, transaction
from models.errors import Conflict, NotFound
from models.expressions import now
from models.ids import new_id
from models.queries import call, execute, exists, fetch, fetch_first, fetch_value
from models.tables import User, Workspace
from models.tables.people import Role
from models.user import Membership

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


class PendingInvitationRow(TypedDict):
    """A pending invitation as lists show it; `invited_by` is the inviter's name."""

    id: str
    email: str
    role: Role
    invited_by: str
    created_at: datetime
    expires_at: datetime


class _RevokedRow(TypedDict):
    email: str
    role: Role


class _AcceptanceRow(TypedDict):
    """Only an accepted invitation has a workspace and a role."""

    outcome: Outcome
    invitation_id: str
    workspace_id: str
    role: Role


def create(
    workspace_id: str, email: str, role: Role, actor: AuditActor, *, deployment_owner: bool = False
) -> IssuedInvitation:
    """Invite an address, normalized by `rules.contacts`; an older invitation of it ends.

    Does not reveal whether the address has an account. Raises `Conflict` for a member of this workspace.
    `deployment_owner` needs the service's connection.
    """
    invitation = tables.Invitation
    issued_id, shown_token, mailed_token = new_id(), secret_tokens.generate(), secret_tokens.generate()
    with acting_as(workspace_id):
        # Serialized per workspace, so that two invitations of an address do not collide.
        _lock_workspace(workspace_id)
        _refuse_members(workspace_id, email)
        is_replaced = _end_former(workspace_id, email)
        expires_at = fetch_value(
            invitation.insert(
                id=issued_id, workspace_id=workspace_id, email=email, role=role,
                shown_hash=secret_tokens.digest(shown_token), mailed_hash=secret_tokens.digest(mailed_token),
                actor_kind=actor.kind, actor_id=actor.id, actor_name=actor.name,
                expires_at=now() + secret_tokens.LINK_LIFETIME,
            ).returning(invitation.expires_at)
        )  # fmt: skip
        if deployment_owner:
            execute(invitation.update(deployment_owner=True).where(invitation.id == issued_id))
        detail = {"email": email, "role": role, "replaced": is_replaced}
        audit.record(workspace_id, actor, "invitation.created", "invitation", issued_id, detail)
    return IssuedInvitation(issued_id, email, role, expires_at, shown_token, mailed_token)


def _lock_workspace(workspace_id: str) -> None:
    lock = Workspace.select(Workspace.id).where(Workspace.id == workspace_id)
    # The stubs know no other lock than FOR UPDATE, which would wait for every insertion into the workspace.
    fetch_value(lock.for_update("FOR NO KEY UPDATE"))  # type: ignore[arg-type]


def _refuse_members(workspace_id: str, email: str) -> None:
    member = tables.Membership
    members = member.select(User.id).join(User, on=User.id == member.user_id).where(member.workspace_id == workspace_id)
    if exists(members.where(fn.lower(User.email) == email.lower())):
        raise Conflict("This person is already a member. Change their role instead.", "email")


def _end_former(workspace_id: str, email: str) -> bool:
    """Delete the workspace's invitations that ended, and the address's pending one; return whether there was one."""
    invitation = tables.Invitation
    of_workspace = invitation.workspace_id == workspace_id
    execute(invitation.delete().where(of_workspace, ~_is_pending()))
    return execute(invitation.delete().where(of_workspace, invitation.email == email)) == 1


def _is_pending() -> Any:
    return fn.is_pending(tables.Invitation)


def list_pending(workspace_id: str) -> list[PendingInvitationRow]:
    """Return the pending invitations, newest first."""
    invitation = tables.Invitation
    query = invitation.select(
        invitation.id, invitation.email, invitation.role, invitation.actor_name.alias("invited_by"),
        invitation.created_at, invitation.expires_at,
    ).where(invitation.workspace_id == workspace_id, _is_pending())  # fmt: skip
    with acting_as(workspace_id):
        return fetch(PendingInvitationRow, query.order_by(invitation.id.desc()))


def revoke(workspace_id: str, invitation_id: str, actor: AuditActor) -> None:
    """Revoke an invitation; both of its links stop working. Raises `NotFound`."""
    invitation = tables.Invitation
    with acting_as(workspace_id):
        deleted = fetch_first(
            _RevokedRow,
            invitation.delete()
            .where(invitation.workspace_id == workspace_id, invitation.id == invitation_id, _is_pending())
            .returning(invitation.email, invitation.role),
        )
        if deleted is None:
            raise NotFound(_NO_PENDING)
        audit.record(workspace_id, actor, "invitation.revoked", "invitation", invitation_id, deleted)


def find(token: str) -> Invitation | None:
    """Return the pending invitation of a link's token, or None."""
    with connection():
        return fetch_first(Invitation, call(fn.find_invitation(secret_tokens.digest(token)), Invitation))


def accept(token: str, user_id: str, email: str, name: str) -> Acceptance | None:
    """Make an account a member, whatever its address; return None for an invalid link. A member keeps their role."""
    with transaction():
        row = fetch_first(
            _AcceptanceRow, call(fn.accept_invitation(secret_tokens.digest(token), user_id), _AcceptanceRow)
        )
        return _record_acceptance(row, Membership(user_id, email, name, "", "viewer"), new_account=False)


def accept_with_new_account(token: str, email: str, name: str, password_hash: str) -> Acceptance | None:
    """Create an account for the invited address and make it a member; return None for an invalid link.

    The outcome is `taken` if the address has an account, unless the link was mailed and that account never proved the
    address: then the account loses the address, its password and its sessions, and keeps its memberships.
    """
    user_id = new_id()
    with transaction():
        row = fetch_first(
            _AcceptanceRow,
            call(fn.create_invited_account(secret_tokens.digest(token), user_id, name, password_hash), _AcceptanceRow),
        )
        return _record_acceptance(row, Membership(user_id, email, name, "", "viewer"), new_account=True)


def _record_acceptance(row: _AcceptanceRow | None, person: Membership, *, new_account: bool) -> Acceptance | None:
    if row is None:
        return None
    if row["outcome"] != "accepted":
        return Acceptance(row["outcome"])
    member = Membership(person.user_id, person.email, person.name, row["workspace_id"], row["role"])
    actor = AuditActor("user", member.user_id, member.name or member.email)
    detail = {"email": member.email, "role": member.role, "newAccount": new_account}
    audit.record(member.workspace_id, actor, "invitation.accepted", "invitation", row["invitation_id"], detail)
    return Acceptance("accepted", member)
