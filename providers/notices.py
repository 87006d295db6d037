"""The common part of Slack's and Discord's webhooks: one POST to a URL that is itself the secret."""

from __future__ import annotations

from typing import ClassVar

from providers import guarded_http, http_client, responses
from providers.base import Account, OutgoingMessage, Provider


class NoticeProvider(Provider):
    """A provider of notices, with short timeouts so that a worker is not blocked for long."""

    connect_seconds = 3.0
    read_seconds = 10.0
    #: The setting with the webhook's URL.
    setting: ClassVar[str]
    #: The query that is added to that URL.
    query: ClassVar[str] = ""


def post(provider: NoticeProvider, account: Account, outgoing: OutgoingMessage, body: bytes) -> responses.Response:
    """Post JSON to the webhook of a notice; in the sandbox to the account's base URL, regardless of the setting.

    A workspace's owner enters the URL, so like any webhook it must not point into a private network.
    """
    url = account.base_url if account.sandbox else account.require_secret(provider.setting)
    call = http_client.Call(
        label=provider.label,
        method="POST",
        url=_add_query(url, provider.query),
        headers={"Content-Type": "application/json"},
        body=body,
        connect_seconds=provider.connect_seconds,
        read_seconds=provider.read_seconds,
        effect=True,
        holds_lease=outgoing.holds_lease,
    )
    return (
        http_client.send_request(call) if account.sandbox else guarded_http.send_request(call, account.allowed_networks)
    )


def _add_query(url: str, query: str) -> str:
    # A Discord URL may already contain a thread: ?thread_id=…
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url
