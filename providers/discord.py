"""Notices to operators through a Discord webhook. Its URL is the secret: it stands in no message or log.

Discord bans an address that keeps making invalid requests, so a refused webhook is a `ConfigurationError` at once:
the provider is paused rather than asked again. Page: discord.com/developers, Execute Webhook and Rate Limits.
"""

from __future__ import annotations

import json

from providers import answers, tries
from providers.base import Account, Outgoing, Receipt, Refusal
from providers.notices import Notice, post
from providers.shapes import text_at
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, RateLimited

#: Discord's own limit of `content`, in characters.
LONGEST_TEXT = 2000

_RECONNECT = Refusal(ConfigurationError, "Make a new webhook in Discord and set DISCORD_WEBHOOK_URL to it.")
_TEXT = Refusal(InvalidRequest, f"Correct the text of this notice; it may have {LONGEST_TEXT} characters.")
_SLOW_DOWN = Refusal(RateLimited, "It is sent when the limit allows.")

REFUSALS: dict[int, Refusal] = {
    400: _TEXT,
    401: _RECONNECT,
    403: _RECONNECT,
    404: _RECONNECT,
    413: _TEXT,
    429: _SLOW_DOWN,
}


class Discord(Notice):
    """Posts a notice to the channel of the webhook; `outgoing.to` is not used."""

    name = "discord"
    label = "Discord"
    setting = "DISCORD_WEBHOOK_URL"
    query = "wait=true"

    def send(self, account: Account, outgoing: Outgoing) -> Receipt:
        """Post the text, mentioning nobody; the receipt's id is the message's."""
        if not 0 < len(outgoing.body.strip()) <= LONGEST_TEXT:
            raise InvalidRequest(f"a Discord notice has between 1 and {LONGEST_TEXT} characters")
        body = json.dumps({"content": outgoing.body, "allowed_mentions": {"parse": []}}).encode()
        return tries.send(lambda: _receipt(post(self, account, outgoing, body)))


PROVIDER = Discord()


def _receipt(answer: answers.Answer) -> Receipt:
    if answer.status == 204:
        return Receipt(None)
    message_id = text_at(answer.json(), "id")
    if answer.status == 200 and message_id is not None:
        return Receipt(message_id)
    raise refusal(answer)


def refusal(answer: answers.Answer) -> ExecutionError:
    """The error for any answer but the posted message."""
    row = REFUSALS.get(answer.status)
    if row is None:
        return answers.unexpected("Discord", answer, effect=True)
    found = answer.json()
    code = str(found.get("code", answer.status))
    wait = found.get("retry_after")
    asked = answers.seconds_until(str(wait)) if wait is not None else answers.retry_after(answer)
    return row.raised("Discord", text_at(found, "message") or "", code, asked if row is _SLOW_DOWN else None)
