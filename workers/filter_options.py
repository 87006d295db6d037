"""The filters of executions as command options, for the list and for actions on all matching executions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rules.stages import STAGES, STATUSES

if TYPE_CHECKING:
    from models.execution_filters import ExecutionFilters


def filter_options(function: Any) -> Any:
    """Add the options to a command; their values arrive under the names that `build_filters` takes."""
    moment = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
    for option in reversed([
        click.option("--automation", "automation_id", help="Automation id."),
        click.option("--status", type=click.Choice(STATUSES), help="Status."),
        click.option("--stage", type=click.Choice(STAGES), help="Stage."),
        click.option("--contact", "contact_id", help="Contact id."),
        click.option("--search", "q", help="An id, or part of the contact's name or address."),
        click.option("--error-class", help="Error class, such as timeout."),
        click.option("--from", "since", type=moment, help="Accepted at this time (UTC) or later."),
        click.option("--to", "until", type=moment, help="Accepted before this time (UTC)."),
        click.option("--test/--real", default=None, help="Only tests, or only real executions."),
    ]):  # fmt: skip
        function = option(function)
    return function


def build_filters(options: dict[str, Any]) -> ExecutionFilters:
    """Build the filters from the options. Raises BadParameter for a malformed id or an unknown error class."""
    from models.execution_filters import ExecutionFilters
    from models.ids import is_id
    from rules.errors import BY_CLASS

    for option, name in (("--automation", "automation_id"), ("--contact", "contact_id")):
        if options[name] is not None and not is_id(options[name]):
            raise click.BadParameter("not an id", param_hint=option)
    if options["error_class"] is not None and options["error_class"] not in BY_CLASS:
        raise click.BadParameter(f"known: {', '.join(sorted(BY_CLASS))}", param_hint="--error-class")
    return ExecutionFilters(**{**options, "since": _to_utc(options["since"]), "until": _to_utc(options["until"])})


def _to_utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)
