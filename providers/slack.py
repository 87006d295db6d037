"""Sends notices to operators through a Slack incoming webhook. Its URL is a secret: no message or log contains it."""

from __future__ import annotations

from providers import responses, retries
from providers.base import Account, ErrorRule, OutgoingMessage, Receipt
from providers.notices import NoticeProvider, post
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, RateLimited
from rules.json_text import dump_json

_RECONNECT = ErrorRule(
    ConfigurationError, "Create a new incoming webhook in Slack and set SLACK_WEBHOOK_URL to its URL."
)
_TEXT = ErrorRule(InvalidRequest, "Correct the text of this notice.")
_SLOW_DOWN = ErrorRule(RateLimited, "It will be sent when the limit allows.")

#: By Slack's plain-text response.
ERROR_RULES: dict[str, ErrorRule] = {
    **dict.fromkeys(("invalid_payload", "no_text", "too_many_attachments"), _TEXT),
    **dict.fromkeys(("action_prohibited", "posting_to_general_channel_denied", "invalid_token"), _RECONNECT),
    **dict.fromkeys(("channel_not_found", "no_service", "no_active_hooks", "no_team", "team_disabled"), _RECONNECT),
    "channel_is_archived": _RECONNECT,
}
#: By status, for any other text.
STATUS_RULES: dict[int, ErrorRule] = {400: _TEXT, 401: _RECONNECT, 403: _RECONNECT, 404: _RECONNECT, 410: _RECONNECT}


class Slack(NoticeProvider):
    """Posts a notice to the channel of the webhook; `outgoing.to` is not used."""

    name = "slack"
    label = "Slack"
    setting = "SLACK_WEBHOOK_URL"

    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Post the text; Slack returns no id."""
        body = dump_json({"text": outgoing.body}).encode()
        return retries.send(lambda: _parse_receipt(post(self, account, outgoing, body)))


PROVIDER = Slack()


def _parse_receipt(response: responses.Response) -> Receipt:
    if response.status == 200 and response.text.strip() == "ok":
        return Receipt(None)
    raise classify_error(response)


def classify_error(response: responses.Response) -> ExecutionError:
    """Return the error for any response except `ok`."""
    text = response.text.strip()
    if response.status == 429:
        return _SLOW_DOWN.build_error("Slack", "", "429", responses.parse_retry_after(response))
    row = ERROR_RULES.get(text) if 400 <= response.status < 500 else None
    if row is not None:
        return row.build_error("Slack", text, text)
    if response.status in STATUS_RULES:
        return STATUS_RULES[response.status].build_error("Slack", "", str(response.status))
    return responses.build_unexpected_status_error("Slack", response, effect=True)
