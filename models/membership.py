"""Members of a workspace: changing their roles and removing them, each with an entry in the audit log.

People become members by `models.invitation`.
"""

from __future__ import annotations

from typing import TypedDict

from peewee import fn

from models import audit, secret_tokens
from models.audit import AuditActor
from models.database import acting_as, connection
from models.errors import Conflict, NotFound
from models.queries import call, execute, fetch
from models.tables import Membership, Session, User
from models.tables.people import Role

_NO_MEMBER = "There is no member with that id."


class OwnWorkspaceRow(TypedDict):
    """A workspace of a person, with their role in it."""

    id: str
    name: str
    role: Role


class _MemberRow(TypedDict):
    user_id: str
    email: str | None
    role: Role


def change_role(workspace_id: str, user_id: str, role: Role, actor: AuditActor) -> None:
    """Change a member's role; it applies from their next request on.

    Raises `NotFound`, or `Conflict` if the workspace would have no owner.
    """
    with acting_as(workspace_id):
        member = _lock_member(workspace_id, user_id, losing_owner=role != "owner")
        if member["role"] == role:
            return
        execute(
            Membership.update(role=role).where(Membership.workspace_id == workspace_id, Membership.user_id == user_id)
        )
        detail = {"email": member["email"], **audit.compare({"role": member["role"]}, {"role": role})}
        audit.record(workspace_id, actor, "member.role_changed", "user", user_id, detail)


def remove(workspace_id: str, user_id: str, actor: AuditActor) -> None:
    """Remove a member and end their sessions in the workspace; they keep their account and other workspaces.

    Raises `NotFound`, or `Conflict` if the workspace would have no owner.
    """
    with acting_as(workspace_id):
        member = _lock_member(workspace_id, user_id, losing_owner=True)
        execute(Session.delete().where(Session.workspace_id == workspace_id, Session.user_id == user_id))
        execute(Membership.delete().where(Membership.workspace_id == workspace_id, Membership.user_id == user_id))
        audit.record(workspace_id, actor, "member.removed", "user", user_id, {"email": member["email"]})


def _lock_member(workspace_id: str, user_id: str, *, losing_owner: bool) -> _MemberRow:
    """Return the member and lock every membership of the workspace, so that two owners cannot remove each other."""
    query = (
        Membership.select(Membership.user_id, User.email, Membership.role)
        .join(User, on=User.id == Membership.user_id)
        .where(Membership.workspace_id == workspace_id)
        .order_by(Membership.user_id)
    )
    members = fetch(_MemberRow, query.for_update(of=Membership))
    member = next((each for each in members if each["user_id"] == user_id), None)
    if member is None:
        raise NotFound(_NO_MEMBER)
    # An account without an address cannot sign in, so it does not count as an owner.
    owners = [each["user_id"] for each in members if each["role"] == "owner" and each["email"] is not None]
    if losing_owner and owners == [user_id]:
        raise Conflict("The last owner cannot be removed or demoted. Make another member an owner first.")
    return member


def list_workspaces_for_session(token: str) -> list[OwnWorkspaceRow]:
    """Return the workspaces of a session token's user, by name."""
    with connection():
        return fetch(OwnWorkspaceRow, call(fn.workspaces_of(secret_tokens.digest(token)), OwnWorkspaceRow))
