"""Members of the workspace over HTTP: list, change roles, remove. Members join by an invitation."""

from __future__ import annotations

from typing import Any

from dashboard.access import Caller, ensure_may_change_member, ensure_may_grant
from dashboard.api import schemas
from dashboard.bodies import Body
from dashboard.errors import not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models import membership, user
from models.tables.people import Role
from models.user import MemberRow

members = Resource("members")

_MEMBER = {
    "id": schemas.ID, "email": schemas.nullable(schemas.TEXT), "name": schemas.TEXT, "role": schemas.TEXT,
    "createdAt": schemas.TIME, "verified": schemas.BOOL, "deploymentOwner": schemas.BOOL,
}  # fmt: skip


class MemberUpdate(Body):
    """The new role of a member."""

    role: Role


@members.api(
    "GET", "/api/members", permission="admin", response={"members": schemas.array_of(schemas.record(**_MEMBER))}
)
def list_members(call: Caller) -> Any:
    """List the members of the workspace."""
    return success(members=[to_api_fields(row) for row in user.list_members(call.workspace_id)])


@members.api(
    "PATCH",
    "/api/members/{member_id}",
    permission="admin",
    body=MemberUpdate,
    response={"member": schemas.record(**_MEMBER)},
    statuses=(409,),
)
def change_member(call: Caller, member_id: str, body: MemberUpdate) -> Any:
    """Change the role of a member. The last owner cannot be changed."""
    ensure_may_grant(call, body.role)
    ensure_may_change_member(call, _require_member(call, member_id))
    membership.change_role(call.workspace_id, member_id, body.role, call.actor)
    return success(member=to_api_fields(_require_member(call, member_id)))


@members.api("DELETE", "/api/members/{member_id}", permission="admin", response={}, statuses=(409,))
def remove_member(call: Caller, member_id: str) -> Any:
    """Remove a member and end their sessions in this workspace. The last owner cannot be removed."""
    ensure_may_change_member(call, _require_member(call, member_id))
    membership.remove(call.workspace_id, member_id, call.actor)
    return success()


def _require_member(call: Caller, member_id: str) -> MemberRow:
    for member in user.list_members(call.workspace_id):
        if member["id"] == member_id:
            return member
    raise not_found("There is no member with that id.")
