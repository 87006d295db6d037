"""`beckon contact`: exporting, erasing and merging contacts."""

from __future__ import annotations

import click

from workers.console import CommandError, connect, current_actor, find_workspace_id, in_workspace, show_json
from workers.console import as_json as json_option


@click.group()
def command() -> None:
    """Export, erase and merge contacts. A contact is named by its id, which its page and the API show."""


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


@command.command()
@click.argument("contact_id", metavar="ID")
@click.argument("into", metavar="INTO")
@in_workspace
@json_option
def merge(contact_id: str, into: str, workspace: str, as_json: bool) -> None:
    """Merge the contact ID into the contact INTO, which stays and takes what it lacks.

    Executions, messages, tags and suppressions go over. This cannot be undone.
    """
    with connect():
        from tasks.operators.contacts import merge_contacts

        ids = (_check_id(contact_id).lower(), _check_id(into).lower())
        result = merge_contacts(find_workspace_id(workspace), *ids, current_actor())
    if as_json:
        show_json({"contactId": ids[1], "executions": result.executions, "cancelled": result.cancelled})
        return
    click.echo(f"The contacts are merged. Executions moved: {result.executions}, cancelled: {result.cancelled}.")


def _check_id(text: str) -> str:
    from models.ids import is_id

    if not is_id(text):
        raise CommandError("There is no contact with that id.")
    return text
