"""What Slack's and Discord's webhooks have in common: one POST to an address that is itself the secret."""

from __future__ import annotations

from typing import ClassVar

from providers import answers, guarded, wire
from providers.base import Account, Outgoing, Provider


class Notice(Provider):
    """A provider whose notices must not hold a worker for long."""

    connect_seconds = 3.0
    read_seconds = 10.0
    #: The setting that holds the webhook's address.
    setting: ClassVar[str]
    #: What is added to that address.
    query: ClassVar[str] = ""


def post(notice: Notice, account: Account, outgoing: Outgoing, body: bytes) -> answers.Answer:
    """Post JSON to the webhook of a notice; in the sandbox to its base URL, whatever the setting says.

    The address comes from a workspace's owner, so like any webhook it may not lead into a private network.
    """
    url = account.base_url if account.sandbox else account.secret(notice.setting)
    call = wire.Call(
        label=notice.label,
        method="POST",
        url=_with_query(url, notice.query),
        headers={"Content-Type": "application/json"},
        body=body,
        connect_seconds=notice.connect_seconds,
        read_seconds=notice.read_seconds,
        effect=True,
        still_ours=outgoing.still_ours,
    )
    return wire.exchange(call) if account.sandbox else guarded.exchange(call, account.allowed_networks)


def _with_query(url: str, query: str) -> str:
    # A Discord address may already name a thread: ?thread_id=…
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url
