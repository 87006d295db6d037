"""Sends notices to operators through a Discord webhook. Its URL is a secret: no message or log contains it.

Discord bans an address that keeps making invalid requests, so a rejected webhook raises `ConfigurationError` at once,
which pauses the provider instead of retrying. Page: discord.com/developers, Execute Webhook and Rate Limits.
"""

from __future__ import annotations

from providers import responses, retries
from providers.base import Account, ErrorRule, OutgoingMessage, Receipt
from providers.notices import NoticeProvider, post
from providers.untrusted import get_text
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, RateLimited
from rules.json_text import dump_json

#: Discord's limit of `content`, in characters.
MAX_TEXT_LENGTH = 2000

_RECONNECT = ErrorRule(ConfigurationError, "Create a new webhook in Discord and set DISCORD_WEBHOOK_URL to its URL.")
_TEXT = ErrorRule(InvalidRequest, f"Correct the text of this notice; it may have up to {MAX_TEXT_LENGTH} characters.")
_SLOW_DOWN = ErrorRule(RateLimited, "It will be sent when the limit allows.")

ERROR_RULES: dict[int, ErrorRule] = {
    400: _TEXT,
    401: _RECONNECT,
    403: _RECONNECT,
    404: _RECONNECT,
    413: _TEXT,
    429: _SLOW_DOWN,
}


class Discord(NoticeProvider):
    """Posts a notice to the channel of the webhook; `outgoing.to` is not used."""

    name = "discord"
    label = "Discord"
    setting = "DISCORD_WEBHOOK_URL"
    query = "wait=true"

    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Post the text with mentions disabled; the receipt has the message's id."""
        if not 0 < len(outgoing.body.strip()) <= MAX_TEXT_LENGTH:
            raise InvalidRequest(f"a Discord notice must have between 1 and {MAX_TEXT_LENGTH} characters")
        body = dump_json({"content": outgoing.body, "allowed_mentions": {"parse": []}}).encode()
        return retries.send(lambda: _parse_receipt(post(self, account, outgoing, body)))


PROVIDER = Discord()


def _parse_receipt(response: responses.Response) -> Receipt:
    if response.status == 204:
        return Receipt(None)
    message_id = get_text(response.json(), "id")
    if response.status == 200 and message_id is not None:
        return Receipt(message_id)
    raise classify_error(response)


def classify_error(response: responses.Response) -> ExecutionError:
    """Return the error for any response except the posted message."""
    row = ERROR_RULES.get(response.status)
    if row is None:
        return responses.build_unexpected_status_error("Discord", response, effect=True)
    body = response.json()
    code = str(body.get("code", response.status))
    wait = body.get("retry_after")
    delay = responses.parse_delay_seconds(str(wait)) if wait is not None else responses.parse_retry_after(response)
    return row.build_error("Discord", get_text(body, "message") or "", code, delay if row is _SLOW_DOWN else None)
