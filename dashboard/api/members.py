"""Who belongs to the workspace over HTTP: listed, brought in with a role, taken out."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import Field

from dashboard import cooperation
from dashboard.access import Caller
from dashboard.answers import named, success
from dashboard.api import shapes
from dashboard.bodies import Body, ShortText
from dashboard.errors import Refusal, invalid, not_there
from dashboard.resource import Resource
from models import membership, user
from models.ids import is_id
from rules.contacts import normalise_email
from rules.problems import Problem

members = Resource("members")

_MEMBER = {
    "id": shapes.ID, "email": shapes.TEXT, "name": shapes.TEXT, "role": shapes.TEXT, "createdAt": shapes.TIME,
    "deploymentOwner": shapes.BOOL,
}  # fmt: skip


class NewMember(Body):
    """A person to be brought in."""

    email: ShortText
    name: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    role: Literal["owner", "operator", "viewer"]


@members.api("GET", "/api/members", permission="admin", answer={"members": shapes.listing(shapes.record(**_MEMBER))})
def list_members(call: Caller) -> Any:
    """List who belongs to the workspace."""
    return success(members=[named(one) for one in user.members(call.workspace_id)])


@members.api(
    "POST",
    "/api/members",
    permission="admin",
    body=NewMember,
    answer={"member": shapes.record(**_MEMBER), "password": shapes.maybe(shapes.TEXT)},
    status=201,
)
def add_member(call: Caller, body: NewMember) -> Any:
    """Bring a person in, or change the role of one who is. A new person's password is in this answer and nowhere
    else; who is known already keeps their own, and `password` is null."""
    try:
        email = normalise_email(body.email)
    except ValueError as error:
        raise invalid([Problem("email", str(error))]) from None
    password = secrets.token_urlsafe(12)
    hashed = cooperation.compute(user.hash_password, password)
    member_id, is_new = membership.add(call.workspace_id, email, body.name, hashed, body.role, call.actor)
    (made,) = [one for one in user.members(call.workspace_id) if str(one["id"]) == member_id]
    return success(201, member=named(made), password=password if is_new else None)


@members.api("DELETE", "/api/members/{member_id}", permission="admin", answer={})
def remove_member(call: Caller, member_id: str) -> Any:
    """Take a person out and end their sessions here. The last owner stays."""
    found = [one for one in user.members(call.workspace_id) if str(one["id"]) == member_id] if is_id(member_id) else []
    if not found:
        raise not_there("There is no member by that id.")
    if found[0]["deployment_owner"] and not call.deployment_owner:
        raise Refusal(403, "Only the deployment owner can remove this member.")
    membership.remove(call.workspace_id, found[0]["email"], call.actor)
    return success()
