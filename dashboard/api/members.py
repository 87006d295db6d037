"""Members of the workspace over HTTP: listed, given another role, removed. They join by an invitation."""

from __future__ import annotations

from typing import Any, Literal

from dashboard.access import Caller, refuse_deployment_owner, refuse_role
from dashboard.answers import named, success
from dashboard.api import shapes
from dashboard.bodies import Body
from dashboard.errors import not_there
from dashboard.resource import Resource
from models import membership, user
from models.database import Row

members = Resource("members")

_MEMBER = {
    "id": shapes.ID, "email": shapes.maybe(shapes.TEXT), "name": shapes.TEXT, "role": shapes.TEXT,
    "createdAt": shapes.TIME, "verified": shapes.BOOL, "deploymentOwner": shapes.BOOL,
}  # fmt: skip


class ChangedMember(Body):
    """The role that a member gets."""

    role: Literal["owner", "operator", "viewer"]


@members.api("GET", "/api/members", permission="admin", answer={"members": shapes.listing(shapes.record(**_MEMBER))})
def list_members(call: Caller) -> Any:
    """List the members of the workspace."""
    return success(members=[named(row) for row in user.members(call.workspace_id)])


@members.api(
    "PATCH",
    "/api/members/{member_id}",
    permission="admin",
    body=ChangedMember,
    answer={"member": shapes.record(**_MEMBER)},
    statuses=(409,),
)
def change_member(call: Caller, member_id: str, body: ChangedMember) -> Any:
    """Change the role of a member. The last owner stays one."""
    refuse_role(call, body.role)
    refuse_deployment_owner(call, _member(call, member_id))
    membership.change_role(call.workspace_id, member_id, body.role, call.actor)
    return success(member=named(_member(call, member_id)))


@members.api("DELETE", "/api/members/{member_id}", permission="admin", answer={}, statuses=(409,))
def remove_member(call: Caller, member_id: str) -> Any:
    """Remove a member and end their sessions here. The last owner stays."""
    refuse_deployment_owner(call, _member(call, member_id))
    membership.remove(call.workspace_id, member_id, call.actor)
    return success()


def _member(call: Caller, member_id: str) -> Row:
    for member in user.members(call.workspace_id):
        if member["id"] == member_id:
            return member
    raise not_there("There is no member by that id.")
