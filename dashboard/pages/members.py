"""The members of the workspace: invite, change roles, remove. For owners only."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import flask

from dashboard.access import Caller, current_settings, ensure_may_change_member, ensure_may_grant, may_change_member
from dashboard.api.invitations import NewInvitation, invite
from dashboard.api.members import MemberUpdate
from dashboard.bodies import Body, check
from dashboard.errors import ProblemError, invalid_request, not_found
from dashboard.pages import forms, layout
from models import invitation, membership, user
from models.errors import Conflict
from models.ids import is_id
from models.user import MemberRow
from tasks.operators.invitations import build_link

members_pages = flask.Blueprint("members-pages", __name__)

PATH = "/settings/members"

Form = TypeVar("Form", bound=Body)


@members_pages.get(PATH)
def show() -> Any:
    """The page."""
    return _render_page(layout.require_page_permission("admin"))


@members_pages.post("/settings/invitations")
def create_invitation() -> Any:
    """Invite a person, and show the link once."""
    call = layout.require_page_permission("admin")
    email, role = forms.read_field("email").strip(), forms.read_field("role")
    try:
        issued, mailed = invite(call, _parse_form(NewInvitation, {"email": email, "role": role}))
    except Conflict as error:
        return _render_page(call, 409, fault=error.message, email=email, role=role)
    except ProblemError as error:
        page = _render_page(call, error.status, fault=_format_error(error), email=email, role=role)
        page.headers.update(error.headers)
        return page
    return _render_page(call, 201, issued=issued, url=build_link(current_settings(), issued.shown_token), mailed=mailed)


@members_pages.post("/settings/invitations/<invitation_id>/revoke")
def revoke_invitation(invitation_id: str) -> Any:
    """Revoke an invitation."""
    call = layout.require_page_permission("admin")
    if not is_id(invitation_id):
        raise not_found()
    invitation.revoke(call.workspace_id, invitation_id, call.actor)
    return layout.redirect(PATH, "Invitation revoked.")


@members_pages.post("/settings/members/<member_id>/role")
def change_role(member_id: str) -> Any:
    """Change the role of a member."""
    call = layout.require_page_permission("admin")
    member = _require_member(call, member_id)
    ensure_may_change_member(call, member)
    try:
        role = _parse_form(MemberUpdate, {"role": forms.read_field("role")}).role
        ensure_may_grant(call, role)
        membership.change_role(call.workspace_id, member["id"], role, call.actor)
    except ProblemError as error:
        return layout.redirect(PATH, _format_error(error), bad=True)
    except Conflict as error:
        return layout.redirect(PATH, error.message, bad=True)
    return layout.redirect(PATH, f"{_format_name(member)} is now {role}.")


@members_pages.get("/settings/members/<member_id>/delete")
def ask_to_remove(member_id: str) -> Any:
    """Ask for confirmation before a member is removed."""
    call = layout.require_page_permission("admin")
    member = _require_member(call, member_id)
    ensure_may_change_member(call, member)
    return layout.render("remove_member.html", call, member=member)


@members_pages.post("/settings/members/<member_id>/delete")
def remove(member_id: str) -> Any:
    """Remove a member."""
    call = layout.require_page_permission("admin")
    member = _require_member(call, member_id)
    ensure_may_change_member(call, member)
    try:
        membership.remove(call.workspace_id, member["id"], call.actor)
    except Conflict as error:
        return layout.redirect(PATH, error.message, bad=True)
    return layout.redirect(PATH, f"{_format_name(member)} removed.")


def _render_page(call: Caller, status: int = 200, **context: Any) -> flask.Response:
    pending = invitation.list_pending(call.workspace_id)
    context = {"may_change_member": partial(may_change_member, call), **context}
    page = layout.render(
        "members.html", call, members=user.list_members(call.workspace_id), invitations=pending, **context
    )
    page.status_code = status
    return page


def _require_member(call: Caller, member_id: str) -> MemberRow:
    for member in user.list_members(call.workspace_id):
        if member["id"] == member_id.lower():
            return member
    raise not_found("There is no member with that id.")


def _parse_form(form: type[Form], fields: dict[str, str]) -> Form:
    body, problems = check(form, fields)
    if body is None:
        raise invalid_request(problems)
    return body


def _format_name(member: MemberRow) -> str:
    return str(member["name"] or member["email"])


def _format_error(error: ProblemError) -> str:
    """The error as a message for the form."""
    return "; ".join(f"{problem.path} {problem.message}" for problem in error.problems) or error.detail
