"""`beckon demo`: fifteen people at once on their way through one automation."""

from __future__ import annotations

import sys

import click

from workers.terminal import Refused, connected, workspace_id


@click.command()
@click.option("--patience", default=90.0, show_default=True, help="Seconds to follow before giving up.")
def command(patience: float) -> None:
    """Show an automation at work: fifteen people ask for a price, and for five of them it is night.

    They are tests in the demo workspace, so the sandbox takes the messages and no counter moves. The same can be
    watched live in the browser, at the address that is printed first.
    """
    with connected() as told:
        import clock
        from workers import procession, rehearsal

        found = workspace_id("demo")
        automation_id = rehearsal.find_automation(found)
        if not rehearsal.pace(told):
            raise Refused(f"The sandbox at {told.sandbox_url} does not answer: start Beckon with `beckon up`.")
        click.echo(f"Watch it live: {told.url}/automations/{automation_id}/monitor")
        begun = rehearsal.begin(found, automation_id, rehearsal.people(clock.now()))
        rested = procession.follow(found, begun, patience)
        click.echo(f"What was received: {told.sandbox_url}/_sandbox/messages?provider=facebook")
    sys.exit(0 if rested else 1)
