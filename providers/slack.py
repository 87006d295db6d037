"""Notices to operators through a Slack incoming webhook. Its URL is the secret: it stands in no message or log."""

from __future__ import annotations

import json

from providers import answers, tries
from providers.base import Account, Outgoing, Receipt, Refusal
from providers.notices import Notice, post
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, RateLimited

_RECONNECT = Refusal(ConfigurationError, "Make a new incoming webhook in Slack and set SLACK_WEBHOOK_URL to it.")
_TEXT = Refusal(InvalidRequest, "Correct the text of this notice.")
_SLOW_DOWN = Refusal(RateLimited, "It is sent when the limit allows.")

#: Slack's plain-text answers, and what they mean.
REFUSALS: dict[str, Refusal] = {
    **dict.fromkeys(("invalid_payload", "no_text", "too_many_attachments"), _TEXT),
    **dict.fromkeys(("action_prohibited", "posting_to_general_channel_denied", "invalid_token"), _RECONNECT),
    **dict.fromkeys(("channel_not_found", "no_service", "no_active_hooks", "no_team", "team_disabled"), _RECONNECT),
    "channel_is_archived": _RECONNECT,
}
#: Where the text is none of these.
BY_STATUS: dict[int, Refusal] = {400: _TEXT, 401: _RECONNECT, 403: _RECONNECT, 404: _RECONNECT, 410: _RECONNECT}


class Slack(Notice):
    """Posts a notice to the channel of the webhook; `outgoing.to` is not used."""

    name = "slack"
    label = "Slack"
    setting = "SLACK_WEBHOOK_URL"

    def send(self, account: Account, outgoing: Outgoing) -> Receipt:
        """Post the text; Slack gives no id."""
        body = json.dumps({"text": outgoing.body}).encode()
        return tries.send(lambda: _receipt(post(self, account, outgoing, body)))


PROVIDER = Slack()


def _receipt(answer: answers.Answer) -> Receipt:
    if answer.status == 200 and answer.text.strip() == "ok":
        return Receipt(None)
    raise refusal(answer)


def refusal(answer: answers.Answer) -> ExecutionError:
    """The error for any answer but `ok`."""
    said = answer.text.strip()
    if answer.status == 429:
        return _SLOW_DOWN.raised("Slack", "", "429", answers.retry_after(answer))
    row = REFUSALS.get(said) if 400 <= answer.status < 500 else None
    if row is not None:
        return row.raised("Slack", said, said)
    if answer.status in BY_STATUS:
        return BY_STATUS[answer.status].raised("Slack", "", str(answer.status))
    return answers.unexpected("Slack", answer, effect=True)
