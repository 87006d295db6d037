"""Invites a person: stores the invitation, then mails its link where the workspace can send e-mail.

The mailed link differs from the link that the inviter sees, because opening it proves the address. In the demo
workspace the mail may go to the sandbox. If the mail fails, the invitation stays valid and the inviter can pass the
other link on.
"""

from __future__ import annotations

import time

import structlog

from models import invitation, workspace
from models.audit import AuditActor
from models.invitation import IssuedInvitation
from models.tables.people import Role
from providers.base import Account, LeaseLost, OutgoingMessage
from providers.mailgun import Mailgun
from rules.errors import ConfigurationError, ExecutionError
from settings import Settings
from tasks.steps.accounts import resolve_account
from tasks.steps.workspace_settings import resolve_workspace_settings

log = structlog.get_logger(__name__)

#: A person waits for the response: no attempt begins later than this, and its timeouts are shorter than a step's.
DEADLINE_SECONDS = 12.0
_CONNECT_SECONDS, _READ_SECONDS = 3.0, 8.0


class _InvitationMailer(Mailgun):
    connect_seconds = _CONNECT_SECONDS
    read_seconds = _READ_SECONDS


_mailer = _InvitationMailer()


def invite(
    settings: Settings, workspace_id: str, email: str, role: Role, actor: AuditActor
) -> tuple[IssuedInvitation, bool]:
    """Create an invitation; return it and whether it was mailed. Raises `Conflict` for a member of the workspace."""
    issued = invitation.create(workspace_id, email, role, actor)
    return issued, _mail(settings, workspace_id, issued, actor)


def build_link(settings: Settings, token: str) -> str:
    """Build the URL of the page that accepts an invitation."""
    return f"{settings.url.rstrip('/')}/invitations/{token}"


def _mail(settings: Settings, workspace_id: str, issued: IssuedInvitation, actor: AuditActor) -> bool:
    workspace_row = workspace.get(workspace_id)
    assert workspace_row is not None
    try:
        own_settings = resolve_workspace_settings(settings, workspace_id)
        account = resolve_account(own_settings, "mailgun", workspace_id, test=False, demo=workspace_row["demo"])
    except ConfigurationError:
        # Without e-mail, the inviter's link is the only one.
        return False
    return _send(account, _build_message(settings, workspace_row["name"], issued, actor), issued)


def _send(account: Account, message: OutgoingMessage, issued: IssuedInvitation) -> bool:
    try:
        _mailer.send(account, message)
    except (ExecutionError, LeaseLost) as error:
        # A provider's error may quote the request.
        reason = str(error).replace(issued.mailed_token, "***")
        log.warning("an invitation was not mailed", invitation=issued.id, error=reason)
        return False
    return True


def _build_message(
    settings: Settings, workspace_name: str, issued: IssuedInvitation, actor: AuditActor
) -> OutgoingMessage:
    deadline = time.monotonic() + DEADLINE_SECONDS
    inviter, invited_to = _collapse_whitespace(actor.name), _collapse_whitespace(workspace_name)
    body = (
        f"{inviter} invites you to the workspace {invited_to} on Beckon as {issued.role}.\n\n"
        f"Accept the invitation:\n{build_link(settings, issued.mailed_token)}\n\n"
        f"The link works once, until {issued.expires_at:%Y-%m-%d %H:%M} UTC. "
        "If you did not expect this e-mail, ignore it: nothing happens until you accept.\n"
    )
    return OutgoingMessage(
        key=f"invitation-{issued.id}",
        to=issued.email,
        subject=f"Invitation to {invited_to} on Beckon",
        body=body,
        holds_lease=lambda: time.monotonic() < deadline,
    )


def _collapse_whitespace(text: str) -> str:
    return " ".join(text.split())
