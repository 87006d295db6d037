"""Invitations over HTTP: made, listed without their links, revoked."""

from __future__ import annotations

from typing import Any, Literal

from dashboard.access import Caller, refuse_role, settings, spend_invitation
from dashboard.answers import named, success
from dashboard.api import shapes
from dashboard.bodies import Body, ShortText
from dashboard.errors import invalid
from dashboard.resource import Resource
from models import invitation
from models.invitation import IssuedInvitation
from rules.contacts import normalise_email
from rules.problems import Problem
from tasks import invitations as task

invitations = Resource("invitations")

_ISSUED = {"id": shapes.ID, "email": shapes.TEXT, "role": shapes.TEXT, "url": shapes.TEXT, "expiresAt": shapes.TIME}
_PENDING = {
    "id": shapes.ID, "email": shapes.TEXT, "role": shapes.TEXT, "invitedBy": shapes.TEXT, "createdAt": shapes.TIME,
    "expiresAt": shapes.TIME,
}  # fmt: skip


class NewInvitation(Body):
    """Whom to invite, and as what."""

    email: ShortText
    role: Literal["owner", "operator", "viewer"]


@invitations.api(
    "GET",
    "/api/invitations",
    permission="admin",
    answer={"invitations": shapes.listing(shapes.record(**_PENDING))},
)
def list_invitations(call: Caller) -> Any:
    """List the pending invitations, without their links."""
    return success(invitations=[named(row) for row in invitation.pending(call.workspace_id)])


@invitations.api(
    "POST",
    "/api/invitations",
    permission="admin",
    body=NewInvitation,
    answer={"invitation": shapes.record(**_ISSUED), "mailed": shapes.BOOL},
    status=201,
    statuses=(409,),
)
def create_invitation(call: Caller, body: NewInvitation) -> Any:
    """Invite a person; the link is in this answer and nowhere else. An older invitation of the address ends, and
    `mailed` says whether the person got a link of their own by e-mail. Whether the address has an account is not said.
    """
    issued, mailed = invite(call, body)
    return success(
        201,
        invitation={
            "id": issued.id, "email": issued.email, "role": issued.role,
            "url": task.link(settings(), issued.shown_token), "expiresAt": issued.expires_at,
        },
        mailed=mailed,
    )  # fmt: skip


@invitations.api("DELETE", "/api/invitations/{invitation_id}", permission="admin", answer={})
def revoke_invitation(call: Caller, invitation_id: str) -> Any:
    """Revoke an invitation; its links stop working."""
    invitation.revoke(call.workspace_id, invitation_id, call.actor)
    return success()


def invite(call: Caller, body: NewInvitation) -> tuple[IssuedInvitation, bool]:
    """The new invitation, and whether it was mailed. Raises `Refusal` 403, 422 or 429, or `Conflict`."""
    refuse_role(call, body.role)
    try:
        email = normalise_email(body.email)
    except ValueError as error:
        raise invalid([Problem("email", str(error))]) from None
    spend_invitation(call.workspace_id)
    return task.invite(settings(), call.workspace_id, email, body.role, call.actor)
