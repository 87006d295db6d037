"""Brings a person into a workspace and takes them out again, each with a line in the audit log."""

from __future__ import annotations

from models import audit, user
from models.audit import Actor
from models.database import acting_as, changed, row, rows
from models.ids import new_id
from models.refusals import Conflict, NotThere
from models.user import Role


def add(workspace_id: str, email: str, name: str, password_hash: str, role: Role, actor: Actor) -> tuple[str, bool]:
    """Make a person a member, or change the role of one who is; their id, and whether they are new to Beckon.

    Who is known already keeps their name and password. Raises `Conflict` where the last owner would lose that role.
    """
    with acting_as(workspace_id):
        found = row("select id, is_new from add_person(%s, %s, %s, %s)", (new_id(), email, name, password_hash))
        assert found is not None
        owners = rows(
            "select user_id from memberships where workspace_id = %s and role = 'owner' order by user_id for update",
            (workspace_id,),
        )
        if role != "owner" and [one["user_id"] for one in owners] == [found["id"]]:
            raise Conflict("The last owner cannot be given another role: make somebody else an owner first.")
        user.join(workspace_id, found["id"], role)
        audit.record(workspace_id, actor, "member.added", "user", found["id"], {"email": email, "role": role})
        return found["id"], found["is_new"]


def remove(workspace_id: str, email: str, actor: Actor) -> None:
    """Take a person out of a workspace and end their sessions there; they stay a person, and a member of others.

    Raises `NotThere` for who is no member, `Conflict` for the last owner. Needs the service's connection.
    """
    with acting_as(workspace_id):
        # All of them stay locked until the end, so that two owners cannot remove each other.
        members = rows(
            "select m.user_id, lower(u.email) as email, m.role from memberships m join users u on u.id = m.user_id "
            "where m.workspace_id = %s order by m.user_id for update of m",
            (workspace_id,),
        )
        member = next((one for one in members if one["email"] == email.lower()), None)
        if member is None:
            raise NotThere("Nobody with that e-mail is a member here.")
        if member["role"] == "owner" and sum(one["role"] == "owner" for one in members) == 1:
            raise Conflict("The last owner cannot be removed: make somebody else an owner first.")
        for table in ("sessions", "memberships"):
            changed(f"delete from {table} where workspace_id = %s and user_id = %s", (workspace_id, member["user_id"]))
        audit.record(workspace_id, actor, "member.removed", "user", member["user_id"], {"email": member["email"]})
