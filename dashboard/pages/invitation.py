"""The page of an invitation, and the ways to accept it.

The holder of the link accepts with a new account for the invited address, or with any account they sign in to. The page
does not show whether the address has an account; only an attempt to create one does.
"""

from __future__ import annotations

from typing import Any

import flask

from dashboard import sign_in_attempts
from dashboard.access import find_session
from dashboard.gevent_support import compute
from dashboard.pages import forms, secret_links
from dashboard.pages.sign_in import HOME, start_session
from models import invitation, user
from models.invitation import Acceptance, Invitation
from models.user import UserAccount

invitation_pages = flask.Blueprint("invitation-pages", __name__)
secret_links.register(invitation_pages)

_TAKEN = "This address already has an account. Sign in to accept the invitation."


@invitation_pages.get("/invitations/<token>")
def show(token: str) -> Any:
    """The page."""
    invited = invitation.find(token)
    return secret_links.render_dead_link() if invited is None else _render_page(token, invited)


@invitation_pages.post("/invitations/<token>/account")
def create_account(token: str) -> Any:
    """Accept with a new account for the invited address."""
    secret_links.check_form()
    invited = invitation.find(token)
    if invited is None:
        return secret_links.render_dead_link()
    name, password = forms.read_person_name(), forms.read_field("password")
    fault = forms.find_name_error(name) or forms.find_new_password_error(password, invited.email, name)
    if fault:
        return _render_page(token, invited, 422, account_fault=fault, name=name)
    wait = sign_in_attempts.take_address_attempt()
    if wait:
        return _render_page(
            token, invited, 429, account_fault=forms.format_too_many_attempts(wait), name=name, wait_seconds=wait
        )
    password_hash = compute(user.hash_password, password)
    acceptance = invitation.accept_with_new_account(token, invited.email, name, password_hash)
    return _respond(token, invited, acceptance, password_hash)


@invitation_pages.post("/invitations/<token>/sign-in")
def sign_in(token: str) -> Any:
    """Accept with an account that the person signs in to."""
    secret_links.check_form()
    invited = invitation.find(token)
    if invited is None:
        return secret_links.render_dead_link()
    email = forms.read_field("email").strip()
    attempt = sign_in_attempts.begin(email)
    wait = attempt.wait_seconds
    if wait:
        return _render_page(
            token, invited, 429, sign_in_fault=forms.format_too_many_attempts(wait), email=email, wait_seconds=wait
        )
    account = sign_in_attempts.finish(attempt, forms.read_field("password"))
    if account is None:
        return _render_page(token, invited, 401, sign_in_fault=forms.WRONG_SIGN_IN, email=email)
    acceptance = invitation.accept(token, account.user_id, account.email, account.name)
    return _respond(token, invited, acceptance, account.password_hash)


@invitation_pages.post("/invitations/<token>/accept")
def accept(token: str) -> Any:
    """Accept as the signed-in person."""
    secret_links.check_form()
    invited, person = invitation.find(token), find_session()
    if invited is None:
        return secret_links.render_dead_link()
    if person is None:
        return _render_page(token, invited, 401, sign_in_fault="Sign in to accept the invitation.")
    return _respond(token, invited, invitation.accept(token, person.user_id, person.email, person.name))


def _respond(token: str, invited: Invitation, acceptance: Acceptance | None, password_hash: str | None = None) -> Any:
    if acceptance is None:
        return secret_links.render_dead_link()
    if acceptance.member is None:
        fault = _TAKEN if acceptance.outcome == "taken" else f"You are already a member of {invited.workspace_name}."
        return _render_page(token, invited, 409, sign_in_fault=fault)
    response = flask.redirect(HOME, 303)
    member = acceptance.member
    account = password_hash and UserAccount(member.user_id, member.email, member.name, password_hash)
    start_session(response, member, account or None)
    return response


def _render_page(token: str, invited: Invitation, status: int = 200, **context: Any) -> Any:
    return secret_links.render(
        "invitation.html", status, invitation=invited, path=f"/invitations/{token}", person=find_session(), **context
    )
