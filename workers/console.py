"""Shared by the subcommands that operate a running copy: the connection, the actor, errors and plain output.

An error is one line on standard error and exit code 1; click reports wrong usage with exit code 2. Standard output
holds only the result, so that `--json` can be piped.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

import click

import logs
import settings as settings_module
from rules.json_text import format_json
from rules.problems import Problem
from settings import Settings

if TYPE_CHECKING:
    from models.audit import AuditActor


class CommandError(click.ClickException):
    """The reason why a command failed, in one line; the exit code is 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line in the format of every other error of `beckon`."""
        click.echo(f"beckon: {self.message}", err=True, file=file)


@contextmanager
def connect() -> Iterator[Settings]:
    """Connect to PostgreSQL as the service role, to Redis and to the broker; yields the settings.

    A NotFound or Conflict raised inside, or an unreachable server, ends the command with one line.
    """
    from ephemeral import rates
    from ephemeral.connection import ERRORS, open_ephemeral
    from models import database, server_waits
    from models.connection_pools import COMMAND_POOL
    from models.errors import Conflict, NotFound
    from tasks.runtime import broker

    settings = settings_module.load()
    logs.set_up("command", "ERROR")
    # Somebody waits for the command.
    server_waits.set_up(patience=server_waits.BRIEF)
    database.open_pool(settings.database_service_url, "beckon_service", COMMAND_POOL)
    open_ephemeral(settings)
    broker.set_up(settings)
    try:
        yield settings
    except (NotFound, Conflict) as refused:
        raise CommandError(refused.message) from None
    except database.CONNECTION_ERRORS as error:
        # Loads the client of supervisord, which no other command needs.
        from workers import outages

        raise CommandError(outages.explain_postgres(settings, error)) from None
    finally:
        database.db.close_all()
        with suppress(*ERRORS):
            rates.flush()


def find_workspace_id(name: str) -> str:
    """Return the id of the workspace with this slug or id. Raises CommandError."""
    from models import workspace
    from models.ids import is_id

    row = workspace.get(name) if is_id(name) else workspace.find_by_slug(name)
    if row is None:
        slugs = (
            ", ".join(workspace_row["slug"] for workspace_row in workspace.list_all()) or "none yet, start Beckon once"
        )
        raise CommandError(f'no workspace "{sanitize_text(name)}"; known: {slugs}')
    return str(row["id"])


def current_actor() -> AuditActor:
    """The user who runs the command, by their operating system name, for the audit log."""
    from models.audit import AuditActor

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"user {os.getuid()}"
    return AuditActor("command", None, name)


in_workspace = click.option(
    "--workspace", "workspace", default="demo", show_default=True, help="Slug or id of the workspace."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, with the API's names.")


def to_api_name(name: str) -> str:
    """Convert `stage_since` to `stageSince`."""
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


def to_api_names(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row's keys to the API's names; the values stay as they are."""
    return {to_api_name(name): value for name, value in row.items()}


def show_json(value: object) -> None:
    """Print a value as indented JSON."""
    click.echo(format_json(value, indent=2, encode=_to_json_value))


def _to_json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def show_table(headings: Sequence[str], lines: Sequence[Sequence[object]], empty: str) -> None:
    """Print rows in aligned columns; without rows print `empty`, which says what to do next."""
    if not lines:
        click.echo(empty)
        return
    texts = [[_format_cell(value) for value in line] for line in lines]
    widths = [max(len(line[column]) for line in [list(headings), *texts]) for column in range(len(headings))]
    for number, line in enumerate([list(headings), *texts]):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        click.secho(text, dim=number == 0)


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return sanitize_text(str(value))


def format_time(moment: datetime) -> str:
    """Format a moment for people, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def sanitize_text(text: str) -> str:
    """Put untrusted text on one line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def format_duration(seconds: float) -> str:
    """Format a duration for people: `850 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def format_problems(problems: Sequence[Problem]) -> str:
    """Format problems as `path: message`, one a line."""
    return "\n".join(f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in problems)
