"""Members of a workspace: changing their roles and removing them, each with an entry in the audit log.

People become members by `models.invitation`.
"""

from __future__ import annotations

from models import audit, links
from models.audit import Actor
from models.database import Row, acting_as, connection, execute, fetch_rows
from models.errors import Conflict, NotFound
from models.user import Role

_NO_MEMBER = "There is no member with that id."


def change_role(workspace_id: str, user_id: str, role: Role, actor: Actor) -> None:
    """Change a member's role; it applies from their next request on.

    Raises `NotFound`, or `Conflict` if the workspace would have no owner.
    """
    with acting_as(workspace_id):
        member = _lock_member(workspace_id, user_id, losing_owner=role != "owner")
        if member["role"] == role:
            return
        execute(
            "update memberships set role = %s where workspace_id = %s and user_id = %s", (role, workspace_id, user_id)
        )
        detail = {"email": member["email"], "from": member["role"], "to": role}
        audit.record(workspace_id, actor, "member.role_changed", "user", user_id, detail)


def remove(workspace_id: str, user_id: str, actor: Actor) -> None:
    """Remove a member and end their sessions in the workspace; they keep their account and other workspaces.

    Raises `NotFound`, or `Conflict` if the workspace would have no owner.
    """
    with acting_as(workspace_id):
        member = _lock_member(workspace_id, user_id, losing_owner=True)
        for table in ("sessions", "memberships"):
            execute(f"delete from {table} where workspace_id = %s and user_id = %s", (workspace_id, user_id))
        audit.record(workspace_id, actor, "member.removed", "user", user_id, {"email": member["email"]})


def _lock_member(workspace_id: str, user_id: str, *, losing_owner: bool) -> Row:
    """Return the member and lock every membership of the workspace, so that two owners cannot remove each other."""
    members = fetch_rows(
        "select m.user_id, u.email, m.role from memberships m join users u on u.id = m.user_id "
        "where m.workspace_id = %s order by m.user_id for update of m",
        (workspace_id,),
    )
    member = next((each for each in members if each["user_id"] == user_id), None)
    if member is None:
        raise NotFound(_NO_MEMBER)
    # An account without an address cannot sign in, so it does not count as an owner.
    owners = [each["user_id"] for each in members if each["role"] == "owner" and each["email"] is not None]
    if losing_owner and owners == [user_id]:
        raise Conflict("The last owner cannot be removed or demoted. Make another member an owner first.")
    return member


def list_workspaces_for_session(token: str) -> list[Row]:
    """Return the workspaces of a session token's user, by name: id, name, role."""
    with connection():
        return fetch_rows("select * from workspaces_of(%s)", (links.digest(token),))
