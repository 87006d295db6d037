"""`beckon suppression`: the addresses that no automation messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from rules.addresses import normalise_address
from rules.body_json import BodyError
from rules.channels import CONTACT_CHANNELS
from rules.csv_cells import format_row
from rules.suppression_file import ERASED, REASONS, find_topic_problem, parse_suppression_file
from workers.console import (
    CommandError,
    connect,
    current_actor,
    find_workspace_id,
    format_problems,
    in_workspace,
    show_json,
    show_table,
    to_api_names,
)
from workers.console import as_json as json_option

if TYPE_CHECKING:
    from models.reports.suppressions import SuppressedAddressRow, SuppressionFilters

#: Rows that an export reads at once.
BATCH_SIZE = 1_000

_channel = click.argument("channel", type=click.Choice(CONTACT_CHANNELS), metavar="CHANNEL")
_address = click.argument("address", metavar="ADDRESS")
_topic = click.option("--topic", help="Only this topic of e-mail.")


@click.group()
def command() -> None:
    """List and change the suppressed addresses of a workspace. No automation messages them."""


@command.command("list")
@in_workspace
@click.option("--channel", type=click.Choice(CONTACT_CHANNELS), help="Only this channel.")
@click.option("--reason", type=click.Choice(REASONS), help="Only this reason.")
@click.option("--topic", help="Only this topic of e-mail.")
@click.option("--query", help="Beginning of an address; the whole address if it is erased.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Maximum number.")
@json_option
def list_(
    workspace: str,
    channel: str | None,
    reason: str | None,
    topic: str | None,
    query: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List suppressed addresses, newest first."""
    with connect():
        from models.reports.suppressions import SuppressionFilters, fetch_page

        filters = SuppressionFilters(channel, query, reason, topic)
        rows = fetch_page(find_workspace_id(workspace), filters, limit, None)
    if as_json:
        show_json({"suppressions": [_to_api(row) for row in rows]})
        return
    lines = [[row["channel"], row["address"] or ERASED, row["reason"], row["topic"], row["created_at"]] for row in rows]
    show_table(("channel", "address", "reason", "topic", "since (UTC)"), lines, "No suppressed addresses.")


def _to_api(row: SuppressedAddressRow) -> dict[str, Any]:
    return {**to_api_names(row), "address": row["address"] or ERASED}


@command.command()
@_channel
@_address
@in_workspace
@click.option(
    "--reason", type=click.Choice(REASONS), default="operator", show_default=True, help="Why it is suppressed."
)
@_topic
def add(channel: str, address: str, workspace: str, reason: Any, topic: str | None) -> None:
    """Suppress ADDRESS on CHANNEL, and the contact that has it."""
    normalised = _read_address(channel, address, topic)
    with connect():
        from models import suppression

        entry = suppression.Entry(channel, normalised, reason, topic)
        suppression.add_address(find_workspace_id(workspace), entry, current_actor())
    click.echo(f"{normalised} is suppressed.")


@command.command()
@_channel
@_address
@in_workspace
@click.option("--reason", "because", required=True, help="Why it is lifted. The audit log keeps it.")
@_topic
def lift(channel: str, address: str, workspace: str, because: str, topic: str | None) -> None:
    """Lift every suppression of ADDRESS on CHANNEL, and of the contact that has it."""
    if not because.strip():
        raise click.BadParameter("must not be empty", param_hint="--reason")
    normalised = _read_address(channel, address, topic)
    with connect():
        from models import suppression

        workspace_id, actor = find_workspace_id(workspace), current_actor()
        if topic is not None:
            reasons = suppression.lift_topic(workspace_id, normalised, topic, actor, because.strip())
        else:
            reasons = suppression.lift_address(workspace_id, channel, normalised, actor, because.strip())
    click.echo(f"Lifted from {normalised}: {', '.join(reasons)}.")


def _read_address(channel: str, address: str, topic: str | None) -> str:
    problem = find_topic_problem(channel, topic)
    if problem:
        raise click.BadParameter(problem, param_hint="--topic")
    try:
        return normalise_address(channel, address)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="ADDRESS") from None


@command.command("import")
@click.argument("file", type=click.File(encoding="utf-8-sig"), metavar="FILE")
@in_workspace
@json_option
def import_(file: IO[str], workspace: str, as_json: bool) -> None:
    """Suppress the addresses of a CSV file; `-` reads standard input.

    The first line names the columns: address, and optionally channel, reason and topic. Invalid rows are skipped.
    """
    try:
        parsed = parse_suppression_file(file.read())
    except BodyError as error:
        raise CommandError(format_problems(error.problems)) from None
    except UnicodeDecodeError:
        raise CommandError("The file is not UTF-8.") from None
    with connect():
        from models import suppression

        entries = [suppression.Entry(*entry) for entry in parsed["entries"]]
        imported = suppression.import_addresses(find_workspace_id(workspace), entries, current_actor())
    rejected = parsed["rejected"]
    if as_json:
        show_json({"imported": imported, "repeated": len(entries) - imported, "rejected": rejected})
        return
    for row in rejected:
        click.echo(f"line {row['line']}: {row['field']} {row['message']}", err=True)
    click.echo(f"{imported} imported, {len(entries) - imported} suppressed before, {len(rejected)} rejected.")


@command.command()
@in_workspace
@json_option
def export(workspace: str, as_json: bool) -> None:
    """Print all suppressed addresses as CSV, newest first. An import reads it."""
    with connect():
        from models.reports.suppressions import SuppressionFilters

        rows = _iterate(find_workspace_id(workspace), SuppressionFilters())
        if as_json:
            show_json({"suppressions": [_to_api(row) for row in rows]})
            return
        click.echo(format_row(("channel", "address", "reason", "topic", "created_at")), nl=False)
        for row in rows:
            cells = row["channel"], row["address"] or ERASED, row["reason"], row["topic"] or ""
            click.echo(format_row((*cells, row["created_at"].isoformat())), nl=False)


def _iterate(workspace_id: str, filters: SuppressionFilters) -> Iterator[SuppressedAddressRow]:
    from models.reports.suppressions import fetch_page

    before: str | None = None
    while rows := fetch_page(workspace_id, filters, BATCH_SIZE, before):
        yield from rows
        before = rows[-1]["id"]
