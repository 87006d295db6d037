"""Messenger and Instagram through Meta's Graph API: direct messages, the replies to a comment, and the follow check.

Meta has no idempotency key. Our message key travels in `metadata` and comes back in the echo of a direct message; what
became of a send whose answer was lost is known from that echo alone. A private reply goes to the comment instead of
the person, once. Its refusals are in `meta_refusals`. Pages: developers.facebook.com, Messenger Platform (Send API,
private replies), Instagram Platform (messaging, comment moderation, user profile).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from providers import answers, tries, wire
from providers.base import Account, Button, Outgoing, Provider, Receipt
from providers.meta_refusals import ALREADY_REPLIED, code_of, refusal, usage
from providers.shapes import at_path, text_at
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, RetryableError

#: The secret that every call bears, and the page's or Instagram account's id where messages name none.
TOKEN = "META_PAGE_ACCESS_TOKEN"
ACCOUNT_ID = "META_ACCOUNT_ID"
#: A person's profile is a read that a worker should not wait for long.
PROFILE_CONNECT_SECONDS = 3.0
PROFILE_READ_SECONDS = 5.0


class Graph(Provider):
    """One of Meta's two channels; `replies_edge` is where the public replies to a comment are posted."""

    # A delayed error comes late by Meta's own word, and a send that is given up on is an unknown outcome.
    read_seconds = 20.0
    replies_edge: str

    def send(self, account: Account, outgoing: Outgoing) -> Receipt:
        """Hand the message to Meta; the receipt's detail says how much of Meta's limits is used up."""
        call = wire.Call(
            label=self.label,
            method="POST",
            url=self._url(account, outgoing),
            headers={**_authorization(account), "Content-Type": "application/json"},
            body=json.dumps(self._body(outgoing)).encode(),
            connect_seconds=self.connect_seconds,
            read_seconds=self.read_seconds,
            effect=True,
            still_ours=outgoing.still_ours,
        )
        return tries.send(lambda: self._receipt(account, wire.exchange(call)))

    def _url(self, account: Account, outgoing: Outgoing) -> str:
        base = account.base_url.rstrip("/")
        if outgoing.way == "comment_reply":
            return f"{base}/{quote(outgoing.to, safe='')}/{self.replies_edge}"
        # Without an id, the page that the token belongs to.
        sender = outgoing.sender or account.secrets.get(ACCOUNT_ID) or "me"
        return f"{base}/{quote(sender, safe='')}/messages"

    def _body(self, outgoing: Outgoing) -> dict[str, Any]:
        if not outgoing.body.strip():
            raise InvalidRequest("a direct message needs a text")
        if outgoing.way == "comment_reply":
            return {"message": outgoing.body}
        to = "comment_id" if outgoing.way == "private_reply" else "id"
        return {"recipient": {to: outgoing.to}, "message": _message(outgoing)}

    def _receipt(self, account: Account, answer: answers.Answer) -> Receipt:
        if answer.status != 200:
            if code_of(answer) == ALREADY_REPLIED:
                return Receipt(None, {"alreadySent": True})
            raise refusal(account, self.label, answer, effect=True)
        message_id = text_at(answer.json(), "message_id") or text_at(answer.json(), "id")
        if message_id is None:
            raise answers.lost_answer(self.label, "answered 200 with something that is not its receipt", "200")
        used = usage(answer)
        return Receipt(message_id, {"usagePercent": used.percent, "regainSeconds": used.regain_seconds})


class Facebook(Graph):
    """Sends with Messenger, and answers comments on a page's posts."""

    name = "facebook"
    label = "Facebook"
    replies_edge = "comments"

    def _body(self, outgoing: Outgoing) -> dict[str, Any]:
        body = super()._body(outgoing)
        # Never MESSAGE_TAG: its one tag that opens the window for longer is for what a person wrote.
        return body if outgoing.way == "comment_reply" else {**body, "messaging_type": "RESPONSE"}


class Instagram(Graph):
    """Sends Instagram's direct messages, and answers comments on an account's media."""

    name = "instagram"
    label = "Instagram"
    replies_edge = "replies"


FACEBOOK = Facebook()
INSTAGRAM = Instagram()


def _authorization(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.secret(TOKEN)}"}


def _message(outgoing: Outgoing) -> dict[str, Any]:
    message: dict[str, Any] = {"text": outgoing.body, "metadata": outgoing.key}
    if outgoing.buttons:
        del message["text"]
        template = {
            "template_type": "button",
            "text": outgoing.body,
            "buttons": [_button(one) for one in outgoing.buttons],
        }
        message["attachment"] = {"type": "template", "payload": template}
    if outgoing.quick_replies:
        message["quick_replies"] = [
            {"content_type": "text", "title": title, "payload": title} for title in outgoing.quick_replies
        ]
    return message


def _button(button: Button) -> dict[str, str]:
    if button.url:
        return {"type": "web_url", "title": button.title, "url": button.url}
    return {"type": "postback", "title": button.title, "payload": button.payload or button.title}


@dataclass(frozen=True)
class Follow:
    """Whether a person follows the account; None where Meta would not say, with its reason in `because`."""

    following: bool | None
    because: str | None = None


def check_follow(account: Account, person_id: str) -> Follow:
    """Ask whether a person follows the Instagram account.

    Meta says so only of people who have written to the account or used its menu: anything it refuses but the token,
    and anything it leaves out, is an answer nobody knows. Raises what passes by itself, and `ConfigurationError`.
    """
    call = wire.Call(
        label=INSTAGRAM.label,
        method="GET",
        url=f"{account.base_url.rstrip('/')}/{quote(person_id, safe='')}?fields=username,is_user_follow_business",
        headers=_authorization(account),
        connect_seconds=PROFILE_CONNECT_SECONDS,
        read_seconds=PROFILE_READ_SECONDS,
    )
    return tries.read(lambda: _follow(account, wire.exchange(call)))


def _follow(account: Account, answer: answers.Answer) -> Follow:
    if answer.status != 200:
        error = refusal(account, INSTAGRAM.label, answer, effect=False)
        if _is_ours_to_mend(error, answer):
            raise error
        return Follow(None, error.message)
    found = at_path(answer.json(), "is_user_follow_business")
    if isinstance(found, bool):
        return Follow(found)
    return Follow(None, "Instagram left it out of the person's profile.")


def _is_ours_to_mend(error: ExecutionError, answer: answers.Answer) -> bool:
    """Without the person's consent Meta answers as it does for a permission that the app lacks: no reason to pause."""
    is_token = isinstance(error, ConfigurationError) and (code_of(answer)[0] in (190, None))
    return is_token or isinstance(error, RetryableError)
