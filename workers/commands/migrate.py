"""`beckon migrate`: change the database to this version, or back to an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import settings
from rules.json_text import dump_json
from workers.console import CommandError

if TYPE_CHECKING:
    from models.migrations import Reversal, Upgrade

#: The value of `--down` without a version.
NEWEST = ""


@click.command()
@click.option("--pre", is_flag=True, help="Stop before the first pending post migration.")
@click.option(
    "--down", "version", metavar="[VERSION]", is_flag=False, flag_value=NEWEST,
    help="Revert the migrations after VERSION (a number such as 0032, or a name); without it, the newest one.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="With --down: do not ask for confirmation when data is lost.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(pre: bool, version: str | None, yes: bool, as_json: bool) -> None:
    """Apply the pending migrations.

    Prints the applied migrations, the indexes that they created, and their notices, such as for how many automations
    the counters were initialised.

    Programs of the earlier version run on with --pre. A post migration removes what only they need: run the command
    without --pre once they have ended.

    --down reverts migrations, newest first. Stop the programs that need them before. If tables, columns or rows are
    removed, it lists them and asks for confirmation.
    """
    if pre and version is not None:
        raise click.UsageError("--pre and --down exclude each other.")
    if yes and version is None:
        raise click.UsageError("--yes needs --down.")
    if version is None:
        _upgrade(pre, as_json)
    else:
        _revert(version, yes, as_json)


def _upgrade(pre: bool, as_json: bool) -> None:
    from workers import preflight

    upgrade = preflight.migrate(settings.load(), pre_only=pre)
    click.echo(dump_json(vars(upgrade)) if as_json else "\n".join(_format_upgrade(upgrade)))


def _format_upgrade(upgrade: Upgrade) -> list[str]:
    lines = [f"applied {name}" for name in upgrade.applied]
    lines += [f"created index {name}" for name in upgrade.indexes] + upgrade.notices
    if upgrade.pending:
        lines += [f"pending {name}" for name in upgrade.pending]
        lines.append("Run `beckon migrate` once all programs of the earlier version have ended.")
    return lines or ["The database is up to date."]


def _revert(version: str, yes: bool, as_json: bool) -> None:
    from workers import preflight

    config = settings.load()
    plan = preflight.plan_reversal(config, version or None)
    if not yes:
        _confirm_losses(plan)
    reverted = preflight.revert(config, plan[-1].name) if plan else []
    if as_json:
        click.echo(dump_json({"reverted": reverted}))
        return
    click.echo("\n".join(f"reverted {name}" for name in reverted) or "There is nothing to revert.")


def _confirm_losses(plan: list[Reversal]) -> None:
    """List the data that is lost and ask for confirmation, if any is. Raises CommandError without one."""
    losing = [reversal for reversal in plan if reversal.losses]
    if not losing:
        return
    click.echo(f"Reverting {len(plan)} migrations removes data:", err=True)
    for reversal in losing:
        click.echo(f"  {reversal.name}: {', '.join(reversal.losses)}", err=True)
    try:
        confirmed = click.confirm("Revert and lose this data?", err=True)
    except click.Abort:
        confirmed = False
    if not confirmed:
        raise CommandError("nothing was reverted; confirm the loss of data, or use --yes")
