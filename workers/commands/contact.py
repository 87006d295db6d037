"""`beckon contact`: what a contact may ask for: an export of everything that is kept of it, and its erasure."""

from __future__ import annotations

import click

from workers.console import CommandError, connect, current_actor, find_workspace_id, in_workspace, show_json
from workers.console import as_json as json_option


@click.group()
def command() -> None:
    """Export and erase contacts. A contact is named by its id, which its page and the API show."""


@command.command()
@click.argument("contact_id", metavar="ID")
@in_workspace
def export(contact_id: str, workspace: str) -> None:
    """Print everything that is kept of the contact ID as one JSON object."""
    with connect():
        from models import audit
        from models.reports import contact_export

        workspace_id = find_workspace_id(workspace)
        contact = contact_export.find(workspace_id, _check_id(contact_id))
        if contact is None:
            raise CommandError("There is no contact with that id.")
        audit.record(workspace_id, current_actor(), "contact.exported", "contact", contact["id"])
        for piece in contact_export.write_json(workspace_id, contact):
            click.echo(piece, nl=False)
    click.echo()


@command.command()
@click.argument("contact_id", metavar="ID")
@in_workspace
@click.option("--yes", "confirmed", is_flag=True, help="Do not ask for confirmation.")
@json_option
def erase(contact_id: str, workspace: str, confirmed: bool, as_json: bool) -> None:
    """Erase the contact ID: its names, addresses and texts, wherever they are kept.

    Cancels its active executions. Counts stay, and suppressed addresses stay suppressed. This cannot be undone.
    """
    if not confirmed:
        click.confirm("Erase the contact for good?", abort=True)
    with connect():
        from tasks.operators.contacts import erase_contact

        result = erase_contact(find_workspace_id(workspace), _check_id(contact_id), current_actor())
    if as_json:
        show_json({"cancelled": result.cancelled, "erased": result.erased})
        return
    rows = ", ".join(f"{kind} {count}" for kind, count in result.erased.items())
    click.echo(f"The contact is erased. Executions cancelled: {result.cancelled}. Rows erased: {rows}.")


def _check_id(text: str) -> str:
    from models.ids import is_id

    if not is_id(text):
        raise CommandError("There is no contact with that id.")
    return text
