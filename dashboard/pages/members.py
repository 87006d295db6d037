"""The members of the workspace, for its owners: invite, change roles, remove."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import flask

from dashboard.access import Caller, may_change_member, refuse_deployment_owner, refuse_role, settings
from dashboard.api.invitations import NewInvitation, invite
from dashboard.api.members import ChangedMember
from dashboard.bodies import Body, check
from dashboard.errors import Refusal, invalid, not_there
from dashboard.pages import forms, frame
from models import invitation, membership, user
from models.database import Row
from models.ids import is_id
from models.refusals import Conflict
from tasks.invitations import link

members_pages = flask.Blueprint("members-pages", __name__)

PATH = "/settings/members"

Form = TypeVar("Form", bound=Body)


@members_pages.get(PATH)
def show() -> Any:
    """The page."""
    return _page(frame.visitor("admin"))


@members_pages.post("/settings/invitations")
def create_invitation() -> Any:
    """Invite a person, and show the link this once."""
    call = frame.visitor("admin")
    email, role = forms.text("email").strip(), forms.text("role")
    try:
        issued, mailed = invite(call, _read(NewInvitation, {"email": email, "role": role}))
    except Conflict as error:
        return _page(call, 409, fault=error.message, email=email, role=role)
    except Refusal as error:
        page = _page(call, error.status, fault=_fault(error), email=email, role=role)
        page.headers.update(error.headers)
        return page
    return _page(call, 201, issued=issued, url=link(settings(), issued.shown_token), mailed=mailed)


@members_pages.post("/settings/invitations/<invitation_id>/revoke")
def revoke_invitation(invitation_id: str) -> Any:
    """End an invitation."""
    call = frame.visitor("admin")
    if not is_id(invitation_id):
        raise not_there()
    invitation.revoke(call.workspace_id, invitation_id, call.actor)
    return frame.go(PATH, "The invitation is revoked.")


@members_pages.post("/settings/members/<member_id>/role")
def change_role(member_id: str) -> Any:
    """Give a member another role."""
    call = frame.visitor("admin")
    member = _member(call, member_id)
    refuse_deployment_owner(call, member)
    try:
        role = _read(ChangedMember, {"role": forms.text("role")}).role
        refuse_role(call, role)
        membership.change_role(call.workspace_id, member["id"], role, call.actor)
    except Refusal as error:
        return frame.go(PATH, _fault(error), bad=True)
    except Conflict as error:
        return frame.go(PATH, error.message, bad=True)
    return frame.go(PATH, f"{_shown(member)} is {role} now.")


@members_pages.get("/settings/members/<member_id>/delete")
def ask_to_remove(member_id: str) -> Any:
    """Ask before a member is removed."""
    call = frame.visitor("admin")
    member = _member(call, member_id)
    refuse_deployment_owner(call, member)
    return frame.render("remove_member.html", call, member=member)


@members_pages.post("/settings/members/<member_id>/delete")
def remove(member_id: str) -> Any:
    """Remove a member."""
    call = frame.visitor("admin")
    member = _member(call, member_id)
    refuse_deployment_owner(call, member)
    try:
        membership.remove(call.workspace_id, member["id"], call.actor)
    except Conflict as error:
        return frame.go(PATH, error.message, bad=True)
    return frame.go(PATH, f"{_shown(member)} is removed.")


def _page(call: Caller, status: int = 200, **facts: Any) -> flask.Response:
    pending = invitation.pending(call.workspace_id)
    facts = {"may_change_member": partial(may_change_member, call), **facts}
    page = frame.render("members.html", call, members=user.members(call.workspace_id), invitations=pending, **facts)
    page.status_code = status
    return page


def _member(call: Caller, member_id: str) -> Row:
    for member in user.members(call.workspace_id):
        if member["id"] == member_id.lower():
            return member
    raise not_there("There is no member by that id.")


def _read(form: type[Form], fields: dict[str, str]) -> Form:
    body, problems = check(form, fields)
    if body is None:
        raise invalid(problems)
    return body


def _shown(member: Row) -> str:
    return str(member["name"] or member["email"])


def _fault(error: Refusal) -> str:
    """A refusal's words for the form."""
    return "; ".join(f"{problem.path} {problem.message}" for problem in error.problems) or error.detail
