"""`beckon demo`: one automation at work, from its trigger to its message."""

from __future__ import annotations

import sys
import time

import click

from workers.commands import trigger
from workers.terminal import connected, workspace_id


@click.command()
@click.option("--patience", default=60.0, show_default=True, help="Seconds to follow before giving up.")
def command(patience: float) -> None:
    """Let a new person sign up in the demo workspace, and show how the welcome reaches them.

    Nothing leaves this machine as long as no provider has a key: the sandbox takes the message.
    """
    address = f"visitor{time.time_ns()}@example.com"
    with connected() as told:
        from workers import story

        found = workspace_id("demo")
        click.echo(f"beckon trigger contact.created --email {address} --first-name Ada --follow")
        person = {"firstName": "Ada", "email": address}
        accepted = trigger.accept_one(found, {"type": "contact.created", "contact": person})
        rested = story.follow(found, [one["executionId"] for one in accepted.executions], patience)
        click.echo(f"What was received: {told.sandbox_url}/_sandbox/messages?to={address}")
    sys.exit(0 if rested else 1)
