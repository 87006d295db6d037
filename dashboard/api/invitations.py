"""Invitations over HTTP: create, list without links, revoke."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

from dashboard.access import Caller, consume_invitation_limit, current_settings, ensure_may_grant
from dashboard.api import schemas
from dashboard.bodies import Body, ShortText
from dashboard.errors import invalid_request
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models import invitation
from models.invitation import IssuedInvitation
from models.tables.people import Role
from rules.contacts import normalise_email
from rules.problems import Problem
from tasks.operators import invitations as task

invitations = Resource("invitations")

_ISSUED = {
    "id": schemas.ID,
    "email": schemas.TEXT,
    "role": schemas.TEXT,
    "url": schemas.TEXT,
    "expiresAt": schemas.TIME,
}
_PENDING = {
    "id": schemas.ID, "email": schemas.TEXT, "role": schemas.TEXT, "invitedBy": schemas.TEXT, "createdAt": schemas.TIME,
    "expiresAt": schemas.TIME,
}  # fmt: skip


class NewInvitation(Body):
    """The e-mail and the role of the invited person."""

    email: Annotated[ShortText, WithJsonSchema(schemas.EMAIL)]
    role: Role


@invitations.api(
    "GET",
    "/api/invitations",
    permission="admin",
    response={"invitations": schemas.array_of(schemas.record(**_PENDING))},
)
def list_invitations(call: Caller) -> Any:
    """List pending invitations without their links."""
    return success(invitations=[to_api_fields(row) for row in invitation.list_pending(call.workspace_id)])


@invitations.api(
    "POST",
    "/api/invitations",
    permission="admin",
    body=NewInvitation,
    response={"invitation": schemas.record(**_ISSUED), "mailed": schemas.BOOL},
    status=201,
    statuses=(409,),
)
def create_invitation(call: Caller, body: NewInvitation) -> Any:
    """Invite a person. The link is only in this response. An earlier invitation of the address is revoked. `mailed`
    says whether the person also got a link by e-mail. The response does not show whether the address has an account.
    """
    issued, mailed = invite(call, body)
    return success(
        201,
        invitation={
            "id": issued.id, "email": issued.email, "role": issued.role,
            "url": task.build_link(current_settings(), issued.shown_token), "expiresAt": issued.expires_at,
        },
        mailed=mailed,
    )  # fmt: skip


@invitations.api("DELETE", "/api/invitations/{invitation_id}", permission="admin", response={})
def revoke_invitation(call: Caller, invitation_id: str) -> Any:
    """Revoke an invitation. Its links stop working."""
    invitation.revoke(call.workspace_id, invitation_id, call.actor)
    return success()


def invite(call: Caller, body: NewInvitation) -> tuple[IssuedInvitation, bool]:
    """The new invitation, and whether it was mailed. Raises `ProblemError` 403, 422 or 429, or `Conflict`."""
    ensure_may_grant(call, body.role)
    try:
        email = normalise_email(body.email)
    except ValueError as error:
        raise invalid_request([Problem("email", str(error))]) from None
    consume_invitation_limit(call.workspace_id)
    return task.invite(current_settings(), call.workspace_id, email, body.role, call.actor)
