"""Sends Messenger and Instagram direct messages and comment replies through Meta's Graph API, and checks follows.

Meta has no idempotency key. Our message key is sent in `metadata` and returned in the echo of a direct message; only
that echo reveals the outcome of a send whose response was lost. A private reply is addressed to the comment instead
of the person, once. Errors are in `providers.meta_errors`. Pages: developers.facebook.com, Messenger Platform (Send
API, private replies), Instagram Platform (messaging, comment moderation, user profile).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from providers import http_client, responses, retries
from providers.base import Account, Button, OutgoingMessage, Provider, Receipt
from providers.meta_errors import ALREADY_REPLIED, classify_error, read_error_codes, read_usage
from providers.untrusted import get_path, get_text
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, RetryableError
from rules.json_text import dump_json

#: The secret of every call, and the default id of the page or Instagram account that sends.
TOKEN = "META_PAGE_ACCESS_TOKEN"
ACCOUNT_ID = "META_ACCOUNT_ID"
#: Short timeouts: a worker should not wait long for a profile.
PROFILE_CONNECT_SECONDS = 3.0
PROFILE_READ_SECONDS = 5.0


class Graph(Provider):
    """One of Meta's two channels; `replies_edge` is the edge for public replies to a comment."""

    # Meta documents delayed errors, and a send that times out is an unknown outcome.
    read_seconds = 20.0
    replies_edge: str

    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Send the message; the receipt's detail has the usage of Meta's limits."""
        call = http_client.Call(
            label=self.label,
            method="POST",
            url=self._build_url(account, outgoing),
            headers={**_build_auth_headers(account), "Content-Type": "application/json"},
            body=dump_json(self._build_body(outgoing)).encode(),
            connect_seconds=self.connect_seconds,
            read_seconds=self.read_seconds,
            effect=True,
            holds_lease=outgoing.holds_lease,
        )
        return retries.send(lambda: self._parse_receipt(account, http_client.send_request(call)))

    def _build_url(self, account: Account, outgoing: OutgoingMessage) -> str:
        base = account.base_url.rstrip("/")
        if outgoing.kind == "comment_reply":
            return f"{base}/{quote(outgoing.to, safe='')}/{self.replies_edge}"
        # Without an id, the page of the token sends.
        sender = outgoing.sender or account.secrets.get(ACCOUNT_ID) or "me"
        return f"{base}/{quote(sender, safe='')}/messages"

    def _build_body(self, outgoing: OutgoingMessage) -> dict[str, Any]:
        if not outgoing.body.strip():
            raise InvalidRequest("a direct message must have a text")
        if outgoing.kind == "comment_reply":
            return {"message": outgoing.body}
        to = "comment_id" if outgoing.kind == "private_reply" else "id"
        return {"recipient": {to: outgoing.to}, "message": _build_message(outgoing)}

    def _parse_receipt(self, account: Account, response: responses.Response) -> Receipt:
        if response.status != 200:
            if read_error_codes(response) == ALREADY_REPLIED:
                return Receipt(None, {"alreadySent": True})
            raise classify_error(account, self.label, response, effect=True)
        message_id = get_text(response.json(), "message_id") or get_text(response.json(), "id")
        if message_id is None:
            raise responses.build_unknown_outcome(self.label, "answered 200 without a valid receipt", "200")
        limits_usage = read_usage(response)
        return Receipt(message_id, {"usagePercent": limits_usage.percent, "regainSeconds": limits_usage.regain_seconds})


class Facebook(Graph):
    """Sends with Messenger, and answers comments on a page's posts."""

    name = "facebook"
    label = "Facebook"
    replies_edge = "comments"

    def _build_body(self, outgoing: OutgoingMessage) -> dict[str, Any]:
        body = super()._build_body(outgoing)
        # Never MESSAGE_TAG: the only tag that extends the window is reserved for messages that a person writes.
        return body if outgoing.kind == "comment_reply" else {**body, "messaging_type": "RESPONSE"}


class Instagram(Graph):
    """Sends Instagram's direct messages, and answers comments on an account's media."""

    name = "instagram"
    label = "Instagram"
    replies_edge = "replies"


FACEBOOK = Facebook()
INSTAGRAM = Instagram()


def _build_auth_headers(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.require_secret(TOKEN)}"}


def _build_message(outgoing: OutgoingMessage) -> dict[str, Any]:
    message: dict[str, Any] = {"text": outgoing.body, "metadata": outgoing.key}
    if outgoing.buttons:
        del message["text"]
        template = {
            "template_type": "button",
            "text": outgoing.body,
            "buttons": [_build_button(button) for button in outgoing.buttons],
        }
        message["attachment"] = {"type": "template", "payload": template}
    if outgoing.quick_replies:
        message["quick_replies"] = [
            {"content_type": "text", "title": title, "payload": title} for title in outgoing.quick_replies
        ]
    return message


def _build_button(button: Button) -> dict[str, str]:
    if button.url:
        return {"type": "web_url", "title": button.title, "url": button.url}
    return {"type": "postback", "title": button.title, "payload": button.payload or button.title}


def check_token(account: Account) -> str:
    """Read the page or account that the token belongs to; return its name. Raises an `ExecutionError`."""
    call = http_client.Call(
        label="Meta",
        method="GET",
        url=f"{account.base_url.rstrip('/')}/{quote(account.secrets.get(ACCOUNT_ID) or 'me', safe='')}?fields=id,name",
        headers=_build_auth_headers(account),
        connect_seconds=PROFILE_CONNECT_SECONDS,
        read_seconds=PROFILE_READ_SECONDS,
    )
    return retries.read(lambda: _parse_page_name(account, http_client.send_request(call)))


def _parse_page_name(account: Account, response: responses.Response) -> str:
    if response.status != 200:
        raise classify_error(account, "Meta", response, effect=False)
    return get_text(response.json(), "name") or get_text(response.json(), "id") or "an account without a name"


@dataclass(frozen=True)
class FollowStatus:
    """Whether a person follows the account; None if Meta does not say, with its `reason`."""

    following: bool | None
    reason: str | None = None


def check_follow(account: Account, person_id: str) -> FollowStatus:
    """Check whether a person follows the Instagram account.

    Meta reports it only for people who have messaged the account or used its menu. Any rejection except of the token,
    and any omission, results in None. Raises temporary errors and `ConfigurationError`.
    """
    call = http_client.Call(
        label=INSTAGRAM.label,
        method="GET",
        url=f"{account.base_url.rstrip('/')}/{quote(person_id, safe='')}?fields=username,is_user_follow_business",
        headers=_build_auth_headers(account),
        connect_seconds=PROFILE_CONNECT_SECONDS,
        read_seconds=PROFILE_READ_SECONDS,
    )
    return retries.read(lambda: _parse_follow_status(account, http_client.send_request(call)))


def _parse_follow_status(account: Account, response: responses.Response) -> FollowStatus:
    if response.status != 200:
        error = classify_error(account, INSTAGRAM.label, response, effect=False)
        if _must_raise(error, response):
            raise error
        return FollowStatus(None, error.message)
    is_following = get_path(response.json(), "is_user_follow_business")
    if isinstance(is_following, bool):
        return FollowStatus(is_following)
    return FollowStatus(None, "Instagram omitted it from the person's profile.")


def _must_raise(error: ExecutionError, response: responses.Response) -> bool:
    """Without the person's consent Meta reports a missing permission of the app, which must not pause the provider."""
    is_token = isinstance(error, ConfigurationError) and (read_error_codes(response)[0] in (190, None))
    return is_token or isinstance(error, RetryableError)
