"""`beckon demo`: one automation with fifteen contacts at once."""

from __future__ import annotations

import sys

import click

from workers.console import CommandError, connect, find_workspace_id


@click.command()
@click.option("--timeout", default=90.0, show_default=True, help="Seconds to follow before giving up.")
def command(timeout: float) -> None:
    """Show an automation at work: fifteen people ask for a price, and for five of them it is night.

    The executions are ordinary ones of invented contacts in the demo workspace: messages go to the sandbox, and every
    page counts them. Where the workspace has credentials for Facebook they are tests, which are not counted. The URL
    that is printed first shows the same live in the browser.
    """
    with connect() as settings:
        import clock
        from workers import demo_session, follow, outages

        workspace_id = find_workspace_id("demo")
        automation_id = demo_session.find_automation(workspace_id)
        if not demo_session.set_generation_delays(settings):
            seen = outages.explain_program(settings, "sandbox", "no answer")
            raise CommandError(f"The sandbox at {settings.sandbox_url} does not answer: {seen.remedy}.")
        click.echo(f"Watch it live: {settings.url}/automations/{automation_id}/monitor")
        is_test = not demo_session.uses_sandbox(settings, workspace_id)
        if is_test:
            click.echo("This workspace has credentials for Facebook: the executions are tests, which are not counted.")
        execution_ids = demo_session.start_executions(
            workspace_id, automation_id, demo_session.build_contacts(clock.now()), test=is_test
        )
        if not execution_ids:
            raise CommandError("The automation did not start: turn it on, and check its keywords.")
        finished = follow.follow(workspace_id, execution_ids, timeout)
        click.echo(f"Messages received by the sandbox: {settings.sandbox_url}/_sandbox/messages?provider=facebook")
    sys.exit(0 if finished else 1)
