"""The pages of an e-mail's recipient: unsubscribe, resubscribe, and choose topics.

A mail program unsubscribes with one POST (RFC 8058), without a cookie, and reads its status. Looking at a page changes
nothing, because programs open links before people do. The token alone permits everything here, so the forms need no
CSRF token.
"""

from __future__ import annotations

from typing import Any

import flask

from dashboard.errors import ProblemError
from dashboard.pages import forms
from dashboard.proxies import read_client_network
from ephemeral.rate_limits import RateLimit, try_take
from models import email_recipient, workspace, workspace_preferences
from rules.masking import mask_address
from rules.unsubscribe_links import Recipient

unsubscribe_pages = flask.Blueprint("unsubscribe-pages", __name__)

#: Requests per address: mail programs send those of many people from few addresses.
RECIPIENT_LIMIT = RateLimit("unsubscribe", 50, 500)
_ACTIONS = {"unsubscribe": email_recipient.unsubscribe, "undo": email_recipient.resubscribe}


@unsubscribe_pages.after_request
def protect_token(response: flask.Response) -> flask.Response:
    """Keep the token out of referrers and of search engines."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@unsubscribe_pages.get("/u/<token>")
def show(token: str) -> Any:
    """The page, which changes nothing."""
    return _render("unsubscribe.html", token, _find_recipient(token))


@unsubscribe_pages.post("/u/<token>")
def change(token: str) -> Any:
    """Unsubscribe for a mail program, or do what the page's button says."""
    recipient, action = _find_recipient(token), forms.read_field("action")
    if action in _ACTIONS:
        _ACTIONS[action](recipient)
        return _render("unsubscribe.html", token, recipient, done=action)
    if forms.read_field("List-Unsubscribe") != "One-Click":
        raise ProblemError(400, "Expected List-Unsubscribe=One-Click, or the field action.")
    email_recipient.unsubscribe(recipient)
    return flask.Response("You are unsubscribed.\n", mimetype="text/plain")


@unsubscribe_pages.get("/u/<token>/preferences")
def show_preferences(token: str) -> Any:
    """The page of topics."""
    return _render("email_preferences.html", token, _find_recipient(token))


@unsubscribe_pages.post("/u/<token>/preferences")
def choose_topics(token: str) -> Any:
    """Allow the topics that are checked, and refuse the others on the page."""
    recipient = _find_recipient(token)
    checked = set(flask.request.form.getlist("topic"))
    topics = email_recipient.load(recipient).topics
    email_recipient.choose_topics(recipient, {topic: topic in checked for topic in topics})
    return _render("email_preferences.html", token, recipient, done="saved")


def _find_recipient(token: str) -> Recipient:
    """Whom the link belongs to. Raises `ProblemError` 404 and, beyond the limit, 429."""
    wait = try_take(RECIPIENT_LIMIT, read_client_network())
    if wait:
        raise ProblemError(429, "Too many requests from this address.", retry_after=wait)
    recipient = email_recipient.find(token)
    if recipient is None:
        raise ProblemError(404, "This link is not complete. Copy the whole link from the e-mail.")
    return recipient


def _render(template: str, token: str, recipient: Recipient, **context: Any) -> str:
    own = workspace_preferences.load(recipient.workspace_id)
    row = workspace.get(recipient.workspace_id)
    preferences = email_recipient.load(recipient)
    return flask.render_template(
        template,
        path=f"/u/{token}",
        sender_name=own.sender_name or (row and row["name"]),
        postal_address=own.postal_address,
        address=mask_address(preferences.address) if preferences.address else "this address",
        preferences=preferences,
        is_unsubscribed="unsubscribed" in preferences.consent.reasons,
        **context,
    )
