"""`beckon demo`: fifteen people at once on their way through one automation."""

from __future__ import annotations

import sys

import click

from workers.console import CommandError, connect, find_workspace_id


@click.command()
@click.option("--patience", default=90.0, show_default=True, help="Seconds to follow before giving up.")
def command(patience: float) -> None:
    """Show an automation at work: fifteen people ask for a price, and for five of them it is night.

    They are tests in the demo workspace, so the sandbox takes the messages and no counter moves. The same can be
    watched live in the browser, at the address that is printed first.
    """
    with connect() as settings:
        import clock
        from workers import demo_session, follow

        workspace_id = find_workspace_id("demo")
        automation_id = demo_session.find_automation(workspace_id)
        if not demo_session.set_generation_delays(settings):
            raise CommandError(f"The sandbox at {settings.sandbox_url} does not answer: start Beckon with `beckon up`.")
        click.echo(f"Watch it live: {settings.url}/automations/{automation_id}/monitor")
        execution_ids = demo_session.start_executions(
            workspace_id, automation_id, demo_session.build_contacts(clock.now())
        )
        finished = follow.follow(workspace_id, execution_ids, patience)
        click.echo(f"What was received: {settings.sandbox_url}/_sandbox/messages?provider=facebook")
    sys.exit(0 if finished else 1)
